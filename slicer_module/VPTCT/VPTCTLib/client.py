"""Client: all that the module asks of a server, with typed answers; no Qt, no Slicer.

::

    client = Client(Connection("https://ct.example.org", login=TokenLogin(token)))
    info = client.access.info()
    result = client.studies.classify("pe_swin_t", "p17--ct")

Every function waits for its answer: call it in a worker thread, and hand it a ``Cancel`` to end it from
another one.
"""

from __future__ import annotations

from .routes.access import Access
from .routes.explanations import Explanations
from .routes.labels import Labels
from .routes.studies import Studies
from .routes.trainings import ModelVersions, Trainings
from .routes.worklist import Worklist
from .transport.connection import Connection
from .transport.link_speed import LinkSpeed


class Client:
    """One server. Several threads may use it.

    Args:
        connection: to the server.
        reader: by which name studies are kept for this reader where the server wants no login.
        bytes_per_second: how fast uploads went on an earlier day; None where that is not known.

    Attributes:
        address: of the server, as its settings are remembered by.
        access: the server itself, and who one is there.
        studies: uploads, downloads, and what networks say.
        explanations: the same, with where in the study they see it.
        labels: what readers say.
        worklist: which study next.
        trainings: ordering and watching them.
        versions: which one answers.
    """

    def __init__(
        self, connection: Connection, *, reader: str = "", bytes_per_second: float | None = None
    ) -> None:
        self.address = connection.address
        self.access = Access(connection)
        self.studies = Studies(connection, LinkSpeed(bytes_per_second))
        self.explanations = Explanations(connection)
        self.labels = Labels(connection)
        self.worklist = Worklist(connection, reader)
        self.trainings = Trainings(connection)
        self.versions = ModelVersions(connection)

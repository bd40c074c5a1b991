"""Questions: what the logic asks the reader before it does what cannot be taken back."""

from __future__ import annotations

import time
from typing import Callable, Protocol

from ..client import Client
from ..consent import Consents
from ..errors import AnotherServerError
from ..i18n import tr as _
from ..transport.cancel import Cancel
from .server_link import ServerLink


class Questions(Protocol):
    """Asks the reader and waits for the answer."""

    def may_upload(self, address: str, why: str, what: str) -> bool:
        """Whether patients' data may leave this computer for this server.

        Args:
            address: of the server.
            why: it is to be uploaded.
            what: is sent, and in which form.
        """
        ...

    def confirm(self, title: str, text: str, ok_text: str) -> bool:
        """Whether to do something; ``ok_text`` stands on the button that does it."""
        ...


class RememberedQuestions:
    """Asks whether studies may be uploaded once per server, and remembers a yes until it is revoked.

    Args:
        asked: asks what is not remembered.
        consents: remember it.
        clock: seconds since 1970.
    """

    def __init__(self, asked: Questions, consents: Consents, clock: Callable[[], float]) -> None:
        self._asked = asked
        self._consents = consents
        self._clock = clock
        self._met: dict[str, str] = {}

    def meet(self, server: ServerLink) -> None:
        """This server is there. A consent that was given for another one at the same address is revoked."""
        server_id = server.info.server_id if server.info is not None else ""
        self._met[server.address] = server_id
        meant = self._consents.given_for(server.address)
        if meant and server_id != meant:
            self.revoke(server.address)

    def may_upload(self, address: str, why: str, what: str) -> bool:
        """As ``Questions.may_upload``; yes without a question where the reader said so before."""
        if self._consents.given(address):
            return True
        if not self._asked.may_upload(address, why, what):
            return False
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        self._consents.give(address, when, self._met.get(address, ""))
        return True

    def confirm(self, title: str, text: str, ok_text: str) -> bool:
        """As ``Questions.confirm``; asked each time."""
        return self._asked.confirm(title, text, ok_text)

    def consent(self, address: str) -> str:
        """When the reader agreed to uploads to this server, as ``2026-11-20T20:31:05Z``; "" where not."""
        return self._consents.given_at(address)

    def revoke(self, address: str) -> None:
        """From now on the reader is asked again before anything is uploaded to this server."""
        if self._consents.given(address):
            self._consents.revoke(address)


def check_server(client: Client, server_id: str, cancel: Cancel) -> None:
    """To be asked right before an upload, in a worker: a consent is for one server, not for its address.

    Args:
        client: that uploads.
        server_id: of the server that the reader agreed to.
        cancel: of the job.

    Raises:
        AnotherServerError: it is another one by now.
        VptctError: it cannot be asked.
    """
    if client.access.info(cancel).server_id != server_id:
        raise AnotherServerError(
            _("another server answers at {address} now, so nothing was sent there.").format(
                address=client.address
            ),
            _("Try again where that is right: you are asked before anything is uploaded."),
        )

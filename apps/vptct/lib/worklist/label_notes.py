"""LabelNotes: has the worklist note every saved label, without letting whoever saved it wait for that."""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from dataclasses import dataclass, field

from vpt_plugin.errors import LeaseError, VptError
from vpt_plugin.store.labels import LabelFolder, SavedLabel
from vpt_plugin.store.lease import utc_text
from vpt_plugin.store.leases import Lease, LeaseBook

_logger = logging.getLogger(__name__)
# So long the answer to who saves a label waits: usually it is noted by then.
_PATIENCE_SECONDS = 1.0
# At the end of the server.
_SECONDS_TO_END = 5.0
_TRY_AGAIN_SECONDS = (0.5, 2.0, 10.0, 30.0)


@dataclass(frozen=True)
class _Note:
    """A label that was saved, by whom ("" where nobody is logged in), when, and whether that is noted.

    ``when`` is by the clock of the leases; that of the label is its file's, of a share with its own clock.
    """

    saved: SavedLabel
    person: str
    when: str
    noted: threading.Event = field(default_factory=threading.Event)


class LabelNotes:
    """Ends the leases of labelled studies, in the order of the labels, in a thread of its own.

    The worklist may be in other hands for a minute, or its disk be full. A note is tried until it succeeds;
    what a server that was killed had not noted is found from the labels themselves when the next one opens.

    Args:
        leases: who has which study.
        labels: what was saved.
        patience_seconds: for so long ``labelled`` waits.
    """

    def __init__(
        self, leases: LeaseBook, labels: LabelFolder, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._leases = leases
        self._labels = labels
        self._patience_seconds = patience_seconds
        self._notes: queue.SimpleQueue[_Note | None] = queue.SimpleQueue()
        self._stuck = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Note what an earlier server could not."""
        try:
            for saved in self.forgotten():
                self._notes.put(_Note(saved, saved.label.annotator, saved.saved))
        except OSError as error:
            # Each of these leases ends by its time.
            _logger.warning("which labels end a lease cannot be told: %s", error)
        self._begin()
        atexit.register(self.close)

    def forgotten(self) -> list[SavedLabel]:
        """Labels of studies that still are in the hands of those who labelled them.

        Raises:
            OSError: the leases cannot be read.
        """
        held = self._leases.held()
        return [each for each in self._labels.newest() if _ends(held.get(each.study), each)]

    def labelled(self, saved: SavedLabel, person: str) -> None:
        """A label was saved: who has the study has done with it. Returns after a second at most.

        Args:
            saved: it.
            person: who is logged in; "" without a login, where whoever has the study is taken for the
                annotator, for nobody knows whether they are one.
        """
        note = _Note(saved, person, utc_text(time.time()))
        self._notes.put(note)
        self._begin()
        if not self._stuck:
            note.noted.wait(self._patience_seconds)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="vptct-label-notes", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """The server ends: note what waits, each once, for as long as is reasonable."""
        self._closing.set()
        self._notes.put(None)
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(_SECONDS_TO_END)

    def _work(self) -> None:
        while (note := self._notes.get()) is not None:
            tries = 0
            while not self._done(note, first=tries == 0):
                self._stuck = True
                if self._closing.wait(_TRY_AGAIN_SECONDS[min(tries, len(_TRY_AGAIN_SECONDS) - 1)]):
                    # The next server finds it from the label itself.
                    break
                tries += 1
            else:
                self._stuck = False
                note.noted.set()

    def _done(self, note: _Note, *, first: bool) -> bool:
        """Note a label; whether nothing is left to do."""
        study = note.saved.study
        try:
            self._note(note)
        except (LeaseError, OSError) as error:
            if first:
                _logger.warning(
                    "%s: the label is saved; the worklist notes it when that is possible: %s", study, error
                )
            return False
        except VptError as error:
            _logger.warning("%s: the label is saved, but no lease can be of its annotator: %s", study, error)
        except Exception:
            # Whatever it is, the labels behind it have their turn.
            _logger.exception("%s: the label is saved, but the worklist did not note it", study)
        return True

    def _note(self, note: _Note) -> None:
        saved, reader = note.saved, note.saved.label.annotator
        lease = self._leases.held().get(saved.study)
        # One that was given after the label is somebody else's second reading.
        if (
            lease is not None
            and lease.task == saved.task
            and note.person in ("", lease.reader)
            and lease.since[:19] <= note.when[:19]
        ):
            reader = lease.reader
        self._leases.labelled(saved.study, reader, saved.task)


def _ends(lease: Lease | None, saved: SavedLabel) -> bool:
    """Whether a label was saved by the reader who has the study, after it was given to them.

    Times of labels are to the second. A study that was given for a first reading had no label.
    """
    if lease is None or (lease.task, lease.reader) != (saved.task, saved.label.annotator):
        return False
    given = lease.since[:19]
    return saved.saved[:19] >= given if lease.reading == "first" else saved.saved[:19] > given

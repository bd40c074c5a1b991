"""InHand: which study a scoring is at, so that one that ends the process is left out in the end.

A decoder may crash on a damaged file, and a huge study may bring the system to kill the process. Neither can
be caught; without this the scoring would end at the same study each time, and no other would get its turn.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from vpt_plugin.durable import write_over

_logger = logging.getLogger(__name__)
# Once and twice may be bad luck: a computer that was switched off, a server that was killed.
_ENOUGH = 3


class InHand:
    """What a file says of the study at which earlier processes ended.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._study, self._times = "", 0
        self._now = ""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            self._study, self._times = str(data["study"]), int(data["times"])
        except FileNotFoundError:
            pass  # the last process ended well
        except (ValueError, KeyError, TypeError) as error:
            _logger.warning("%s: at which study a scoring ended cannot be read (%s)", path, error)

    def ends_the_process(self, study: str) -> bool:
        """Whether processes ended at this study so often that it is no accident."""
        return study == self._study and self._times >= _ENOUGH

    def take(self, study: str) -> None:
        """This study is begun.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        times = self._times + 1 if study == self._study else 1
        data = json.dumps({"study": study, "times": times}).encode()
        write_over(self._path, data, durable=False)
        self._now = study

    def put_down(self) -> None:
        """The process ends by itself, stands still or waits: whoever ends it now does so for no study."""
        self._path.unlink(missing_ok=True)

    def finished(self) -> None:
        """It is done with the study, and never takes it up again."""
        self._now = ""

    def take_up(self) -> None:
        """It goes on with the study that it put down, if there was one.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        if self._now:
            self.take(self._now)

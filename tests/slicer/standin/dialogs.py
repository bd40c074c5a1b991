"""Dialogs answer as the test told them to, and nothing waits for a hand that is not there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ShownDialog:
    """What a reader saw.

    Attributes:
        kind: the class, such as ``QMessageBox``, or the function, such as ``QInputDialog.getText``.
        title: of the window.
        text: what it said.
    """

    kind: str
    title: str
    text: str


class Dialogs:
    """The dialogs that were shown, the answers that wait for them, and the pages that were opened.

    Attributes:
        shown: in the order of the time.
        opened: addresses that were given to the browser or to the file manager.
    """

    def __init__(self) -> None:
        self.shown: list[ShownDialog] = []
        self.opened: list[str] = []
        self._answers: deque[Any] = deque()

    def answer(self, *answers: Any) -> None:
        """Answer the next dialogs in this order.

        Each is a button (``qt.QMessageBox.Yes``), what a question for text, an item or a file returns, or a
        function that is called with the dialog on screen, clicks in it, and returns what ``exec_`` returns.
        """
        self._answers.extend(answers)

    def unused(self) -> int:
        """How many answers no dialog has asked for."""
        return len(self._answers)

    def clear(self) -> None:
        """Forget all of it."""
        self.shown.clear()
        self.opened.clear()
        self._answers.clear()

    def ask(self, kind: str, title: str, text: str) -> Any:
        """The next answer.

        Raises:
            AssertionError: no test answers this dialog, which would wait for ever.
        """
        self.shown.append(ShownDialog(kind, title, text))
        if not self._answers:
            raise AssertionError(f"a dialog that no test answers: {kind} {title!r}: {text}")
        return self._answers.popleft()

    def run(self, dialog: Any) -> int:
        """What a dialog's ``exec_`` does here."""
        text = str(dialog.property("text") or "")
        answer = self.ask(dialog.className(), str(dialog.property("windowTitle") or ""), text)
        if not callable(answer):
            return int(answer)
        dialog.show()
        try:
            return int(answer(dialog))
        finally:
            dialog.hide()


#: Of the one application that a process can have.
dialogs = Dialogs()


def asking(kind: str) -> Callable[..., Any]:
    """A static function of Qt that shows a dialog: its answer is the test's."""

    def ask(*arguments: Any) -> Any:
        words = [argument for argument in arguments if isinstance(argument, str)] + ["", ""]
        return dialogs.ask(kind, words[0], words[1])

    return staticmethod(ask)

"""KeptLabelsBox: the labels that are on this computer and not, or not yet, on a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Callable

import qt

from ..i18n import tr as _
from ..kept_label import KeptLabel
from ..logic.kept_labels import KeptLabels
from ..logic.label_words import host_in_words, kept_label_in_words, labels_in_words
from ..logic.questions import Questions
from .plain_text import plain_label

Button = tuple[str, str, Callable[[], object]]


class KeptLabelsBox:
    """Shows them in a frame that is there only when they are.

    Args:
        kept: the labels.
        questions: before anything is dropped or sent elsewhere.
        address: gives the address of the server.
        ui: has ``keptFrame``, ``keptRows`` and ``sendButton``.
    """

    def __init__(self, kept: KeptLabels, questions: Questions, address: Callable[[], str], ui: Any) -> None:
        self._kept, self._questions, self._address, self._ui = kept, questions, address, ui
        self._shown: tuple[object, ...] = ()
        ui.sendButton.connect("clicked(bool)", lambda _checked=False: kept.send())

    def show(self) -> None:
        """Show what there is."""
        kept = self._kept
        # What goes through without a hitch is not shown for a moment.
        waiting = () if kept.sending and kept.problem is None else kept.waiting
        shown = (waiting, kept.refused, kept.moved, kept.elsewhere, kept.of_others, kept.problems)
        self._ui.sendButton.visible = bool(waiting)
        self._ui.sendButton.enabled = not kept.sending
        self._ui.keptFrame.visible = any(shown)
        if shown == self._shown:
            return
        self._shown = shown
        layout = self._ui.keptRows.layout()
        while layout.count():
            old = layout.takeAt(0).widget()
            old.setParent(None)
            old.deleteLater()
        for row in self._rows(waiting):
            layout.addWidget(row)

    def _rows(self, waiting: Sequence[KeptLabel]) -> Iterator[Any]:
        kept = self._kept
        for each in waiting:
            yield _row(kept_label_in_words(each), ())
        for each in kept.refused:
            yield self._refused(each)
        if kept.moved:
            yield self._moved(kept.moved)
        for server in sorted({each.server for each in kept.elsewhere} - {each.server for each in kept.moved}):
            yield self._elsewhere(server, [each for each in kept.elsewhere if each.server == server])
        for reader in sorted({each.reader for each in kept.of_others}):
            count = sum(each.reader == reader for each in kept.of_others)
            yield _row(_of_another(reader, count), ())
        for problem in kept.problems:
            yield _row(_("A label on this computer cannot be read: {problem}").format(problem=problem), ())

    def _refused(self, kept: KeptLabel) -> Any:
        words = _("{label}\nThe server does not take it: {why}").format(
            label=kept_label_in_words(kept), why=kept.refused
        )
        copy = (
            _("Copy"),
            _("Put what the label and the server say into the clipboard"),
            lambda: qt.QApplication.clipboard().setText(words),
        )
        drop = (_("Drop…"), _("Forget this label"), lambda: self._drop(kept))
        return _row(words, (copy, drop))

    def _drop(self, kept: KeptLabel) -> None:
        text = _("It is not on the server, and cannot be had back:\n\n{label}").format(
            label=kept_label_in_words(kept)
        )
        if self._questions.confirm(_("Drop this label?"), text, _("Drop")):
            self._kept.drop(kept)

    def _moved(self, labels: Sequence[KeptLabel]) -> Any:
        words = _("{labels} for {old}, which is this very server under an earlier address.").format(
            labels=labels_in_words(len(labels)), old=_hosts(labels)
        )
        send = (_("Send here"), _("Send them to this server"), lambda: self._kept.send_here(labels))
        return _row(words, (send,))

    def _elsewhere(self, server: str, labels: Sequence[KeptLabel]) -> Any:
        words = _("{labels} for {server}, until you connect to it.")
        if server == self._address():
            words = _("{labels} for another server, which was at {server} before.")
        words = words.format(labels=labels_in_words(len(labels)), server=host_in_words(server))
        if not self._address():
            return _row(words, ())
        moved = (
            _("It has moved here…"),
            _("Send them to this server, because it is the same one under another address"),
            lambda: self._send_here(server, labels),
        )
        return _row(words, (moved,))

    def _send_here(self, server: str, labels: Sequence[KeptLabel]) -> None:
        text = _(
            "{labels} for {old}. Only where {new} has the very same studies under the same names do they "
            "belong there; a label would else be saved for the study of another patient."
        ).format(
            labels=labels_in_words(len(labels)),
            old=host_in_words(server),
            new=host_in_words(self._address()),
        )
        if self._questions.confirm(_("Is it the same server?"), text, _("Send them there")):
            self._kept.send_here(labels)


def _of_another(reader: str, count: int) -> str:
    if not reader:
        return _("{labels} that no reader's name is on, until nobody is logged in.").format(
            labels=labels_in_words(count)
        )
    return _("{labels} until {reader} works here again.").format(labels=labels_in_words(count), reader=reader)


def _hosts(labels: Sequence[KeptLabel]) -> str:
    return ", ".join(sorted({host_in_words(each.server) for each in labels}))


def _row(words: str, buttons: Sequence[Button]) -> Any:
    """A text with buttons below it."""
    row = qt.QWidget()
    rows = qt.QVBoxLayout(row)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setSpacing(2)
    label = plain_label(words)
    label.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
    rows.addWidget(label)
    if buttons:
        line = qt.QHBoxLayout()
        for text, tip, pressed in buttons:
            button = qt.QPushButton(text)
            button.setToolTip(tip)
            button.connect("clicked(bool)", lambda _checked=False, pressed=pressed: pressed())
            line.addWidget(button)
        line.addStretch(1)
        rows.addLayout(line)
    return row

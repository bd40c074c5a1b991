"""NextSection: asks for the next study, says why it is this one, and lists those that the reader holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import qt
from slicer.i18n import tr as _

from ..contract.next_study import Proposal
from ..logic.desk import Desk
from ..logic.next_studies import DOWNLOADING, IDLE
from ..logic.proposal_words import (
    coming_in_words,
    details,
    held_in_words,
    kept_in_words,
    reasons_in_words,
    title_of,
    why,
)
from ..logic.worklist_words import StrategyOffer, label_counts_in_words, worklist_in_words
from ..signal import Signal
from .plain_text import plain_tip, put
from .section import Section, Shortcut

KEYS = "Ctrl+Shift+N"
OTHER_REASON = "other"


class NextSection(Section):
    """The worklist, the button for the next study, and what becomes of it.

    Attributes:
        retrain_wanted: the reader wants to see where a training is started.
    """

    name = "NextSection"

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        super().__init__(desk, resource)
        self.retrain_wanted = Signal()
        self._next = desk.next_studies
        self._offered: tuple[StrategyOffer, ...] = ()
        self._listed: tuple[str, ...] = ()
        self._proposal: Proposal | None = None
        # An event filter of the application would have Python look at every event of Slicer.
        desk.leases.sign_of_reader = self._sign_of_reader
        self._fill_reasons()
        self._connect()
        self.follow(self._next.changed, self._show)
        self.follow(self._next.progressed, self._show_progress)
        self._show()

    def shortcuts(self) -> Sequence[Shortcut]:
        """Next study."""
        return (Shortcut(KEYS, _("Ask for the next study, and show it"), self._ask),)

    def enter(self) -> None:
        """The reader opens the module: what they hold may have changed since."""
        self.desk.held.refresh()
        self.desk.leases.reader_is_here()

    def close(self) -> None:
        """Hear no more of the logic, and tell it nothing."""
        self.desk.leases.sign_of_reader = lambda: None
        super().close()

    def _sign_of_reader(self) -> object:
        mouse, draft = qt.QCursor.pos(), self.desk.draft
        return mouse.x(), mouse.y(), dict(draft.states), draft.comment

    def _connect(self) -> None:
        ui = self.ui
        ui.nextButton.connect("clicked(bool)", self._ask)
        ui.cancelNextButton.connect("clicked(bool)", self._cancel)
        ui.strategyBox.connect("currentIndexChanged(int)", self._show_button)
        ui.skipReasonBox.connect("currentIndexChanged(int)", self._show_skip)
        ui.skipCommentEdit.connect("textChanged(QString)", self._show_skip)
        ui.skipButton.connect("clicked(bool)", self._skip)
        ui.giveBackButton.connect("clicked(bool)", self._give_back)
        ui.heldList.connect("itemSelectionChanged()", self._show_held_buttons)
        ui.heldList.connect("itemDoubleClicked(QListWidgetItem*)", self._open_held)
        ui.openHeldButton.connect("clicked(bool)", self._open_held)
        ui.giveBackHeldButton.connect("clicked(bool)", self._give_back_held)
        ui.retrainButton.connect("clicked(bool)", self._want_training)

    def _fill_reasons(self) -> None:
        self.ui.skipReasonBox.addItem(_("Skip because ..."), "")
        for name, words in reasons_in_words().items():
            self.ui.skipReasonBox.addItem(words, name)

    # What the reader does

    def _ask(self) -> None:
        if not self._why_not():
            self._next.ask(self._strategy().name if self._offered else "")

    def _cancel(self) -> None:
        self._next.cancel()

    def _skip(self) -> None:
        self._next.skip(self.ui.skipReasonBox.currentData, self.ui.skipCommentEdit.text.strip())

    def _give_back(self) -> None:
        self._next.give_back()

    def _open_held(self) -> None:
        study = self._chosen()
        if study and not self._why_not_held():
            self._next.open(study)

    def _give_back_held(self) -> None:
        study = self._chosen()
        if study:
            self._next.give_back(study)

    def _want_training(self) -> None:
        self.retrain_wanted.emit()

    # What is shown

    def _show(self) -> None:
        self._show_worklist()
        self._show_strategies()
        self._show_button()
        self._show_progress()
        self._show_proposal()
        self._show_held()

    def _show_worklist(self) -> None:
        ui, worklist = self.ui, self._next.worklist
        put(ui.worklistLabel, worklist_in_words(worklist) if worklist is not None else "")
        put(ui.labelCountsLabel, label_counts_in_words(worklist) if worklist is not None else "")
        advice = worklist.retrain if worklist is not None else None
        is_due = advice is not None and advice.due
        ui.retrainFrame.visible = is_due
        if advice is not None and is_due:
            ui.retrainLabel.text = "\n".join(filter(None, (advice.why, advice.problem)))

    def _show_strategies(self) -> None:
        box, offered = self.ui.strategyBox, self._next.strategies
        if offered == self._offered:
            return
        chosen = box.currentData
        before = box.blockSignals(True)
        self._offered = offered
        box.clear()
        for index, each in enumerate(offered):
            box.addItem(f"{each.title} ({each.why_not})" if each.why_not else each.title, each.name)
            box.setItemData(index, plain_tip(_strategy_tip(each)), qt.Qt.ToolTipRole)
        box.setCurrentIndex(max(0, box.findData(chosen)))
        box.blockSignals(before)

    def _strategy(self) -> StrategyOffer:
        index: int = self.ui.strategyBox.currentIndex
        return self._offered[max(0, index)]

    def _why_not(self) -> str:
        if self._next.why_not:
            return self._next.why_not
        if not self._offered:
            return ""
        strategy = self._strategy()
        if not strategy.why_not:
            return ""
        text: str = _("{strategy} {why_not}: choose another way.")
        return text.format(strategy=strategy.title, why_not=strategy.why_not)

    def _show_button(self) -> None:
        ui, why_not = self.ui, self._why_not()
        ui.nextButton.enabled = not why_not
        tip = _("Asks the server for the next study, and shows it ({keys})").format(keys=KEYS)
        ui.nextButton.toolTip = plain_tip(why_not or tip)
        ui.strategyBox.enabled = bool(self._offered)
        ui.strategyBox.toolTip = plain_tip(_strategy_tip(self._strategy())) if self._offered else ""

    def _show_progress(self) -> None:
        ui, next_studies = self.ui, self._next
        is_busy = next_studies.state != IDLE
        ui.cancelNextButton.visible = ui.nextBar.visible = is_busy
        done, total = next_studies.progress or (0, 0)
        is_counted = next_studies.state == DOWNLOADING and 0 < done < total
        # Without a maximum it says that something goes on, and not how far it is.
        ui.nextBar.maximum, ui.nextBar.value = (1000, round(1000 * done / total)) if is_counted else (0, 0)
        if is_busy:
            words = coming_in_words(next_studies.coming, next_studies.state, next_studies.progress)
        else:
            words = self._why_not()
        put(ui.nextStateLabel, words)

    def _show_proposal(self) -> None:
        ui, proposal = self.ui, self._next.proposal
        ui.proposalFrame.visible = proposal is not None
        if proposal is None:
            self._proposal = None
            return
        strategies = {each.name: each for each in self.desk.held.strategies}
        put(ui.proposalTitleLabel, title_of(proposal))
        tip = _("The study on screen, as the server proposed it to you: {study}").format(study=proposal.study)
        ui.proposalTitleLabel.toolTip = plain_tip(tip)
        put(ui.proposalWhyLabel, why(proposal, strategies))
        put(ui.proposalWarningsLabel, "\n".join(self._next.warnings))
        put(ui.proposalKeptLabel, kept_in_words(self.desk.held.of(proposal.study)))
        told = details(proposal)
        ui.proposalDetailsBox.visible = bool(told)
        ui.proposalDetailsLabel.text = "\n".join(told)
        if proposal != self._proposal:
            ui.proposalDetailsBox.collapsed = True
            ui.skipReasonBox.setCurrentIndex(0)
            ui.skipCommentEdit.text = ""
        self._proposal = proposal
        self._show_skip()

    def _show_skip(self) -> None:
        ui = self.ui
        is_kept, can_end = self._next.is_kept, not self._next.ending and self.desk.server.state == "ready"
        reason = ui.skipReasonBox.currentData
        needs_words = reason == OTHER_REASON and not ui.skipCommentEdit.text.strip()
        ui.skipReasonBox.visible = ui.skipButton.visible = ui.giveBackButton.visible = is_kept
        ui.skipCommentEdit.visible = is_kept and bool(reason)
        ui.skipButton.enabled = can_end and bool(reason) and not needs_words
        ui.giveBackButton.enabled = can_end
        if not reason:
            ui.skipButton.toolTip = _("Choose first why you do not label this study")
        elif needs_words:
            ui.skipButton.toolTip = _("Say in a line why you do not label this study")
        else:
            ui.skipButton.toolTip = _("Gives the study back; you will not get it again")

    def _show_held(self) -> None:
        ui, held = self.ui, self._next.held
        on_screen = self._next.proposal.study if self._next.proposal is not None else ""
        others = [each for each in held if each.study not in (on_screen, self._next.coming)]
        ui.heldFrame.visible = bool(others)
        ui.heldLabel.text = _("Also kept for you:") if on_screen else _("Kept for you:")
        chosen, lines = self._chosen(), [held_in_words(each, self.desk.choice.tasks) for each in others]
        if lines != [ui.heldList.item(row).text() for row in range(ui.heldList.count)]:
            before = ui.heldList.blockSignals(True)
            self._listed = tuple(each.study for each in others)
            ui.heldList.clear()
            for line in lines:
                ui.heldList.addItem(line)
            # As high as its lines; from five on it scrolls.
            ui.heldList.setFixedHeight(4 + min(len(lines), 4) * max(1, ui.heldList.sizeHintForRow(0)))
            if self._listed:
                ui.heldList.setCurrentRow(self._listed.index(chosen) if chosen in self._listed else 0)
            ui.heldList.blockSignals(before)
        self._show_held_buttons()

    def _show_held_buttons(self) -> None:
        ui, why_not = self.ui, self._why_not_held()
        for button, tip in (
            (ui.openHeldButton, _("Shows the chosen study, and keeps it for you for another while")),
            (ui.giveBackHeldButton, _("Gives the chosen study back; anybody may get it")),
        ):
            button.enabled = not why_not
            button.toolTip = plain_tip(why_not or tip)

    def _why_not_held(self) -> str:
        return self._next.why_not or ("" if self._chosen() else _("Choose a study in the list first."))

    def _chosen(self) -> str:
        row = self.ui.heldList.currentRow
        return self._listed[row] if 0 <= row < len(self._listed) else ""


def _strategy_tip(strategy: StrategyOffer) -> str:
    return ". ".join(filter(None, (strategy.description, strategy.why_not)))

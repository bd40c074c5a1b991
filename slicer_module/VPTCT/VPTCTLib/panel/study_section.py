"""StudySection: which volume is read, for what, by which network, and the button that has it classified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from slicer.i18n import tr as _

from ..logic.classify_run import COMPUTING, IDLE
from ..logic.desk import Desk
from ..logic.study_words import (
    model_in_words,
    model_title,
    others_in_words,
    place_in_words,
    state_in_words,
)
from ..which_study import ToUpload
from .plain_text import plain_tip, put
from .section import Section, Shortcut

KEYS = "Ctrl+Shift+C"


class StudySection(Section):
    """Volume, task, network, Classify."""

    name = "StudySection"

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        super().__init__(desk, resource)
        ui = self.ui
        self._offered: dict[Any, list[tuple[str, str]]] = {}
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._choose_volume)
        ui.taskBox.connect("currentIndexChanged(int)", self._choose_task)
        ui.modelBox.connect("currentIndexChanged(int)", self._choose_model)
        ui.classifyButton.connect("clicked(bool)", self._press)
        self.follow(desk.classification.changed, self._show)
        self.follow(desk.classification.progressed, self._show_progress)
        self._show()

    def shortcuts(self) -> Sequence[Shortcut]:
        """Classify."""
        return (Shortcut(KEYS, _("Classify the study on screen"), self.desk.classification.start),)

    def enter(self) -> None:
        """The reader opens the module: what they chose in another one is shown."""
        self._show()

    def _choose_volume(self, volume: Any) -> None:
        self.desk.study.select(volume)

    def _choose_task(self, index: int) -> None:
        if index >= 0:
            self.desk.choice.select_task(self.ui.taskBox.itemData(index))

    def _choose_model(self, index: int) -> None:
        if index >= 0:
            self.desk.choice.select_model(self.ui.modelBox.itemData(index))

    def _press(self) -> None:
        classification = self.desk.classification
        if classification.state == IDLE:
            classification.start()
        else:
            classification.cancel()

    def _show(self) -> None:
        self._show_volume()
        self._show_choice()
        self._show_button()
        self._show_progress()
        put(self.ui.othersLabel, others_in_words(self.desk.classification))

    def _show_volume(self) -> None:
        desk, selector = self.desk, self.ui.volumeSelector
        if selector.currentNode() is not desk.study.volume:
            before = selector.blockSignals(True)
            selector.setCurrentNode(desk.study.volume)
            selector.blockSignals(before)
        until = desk.classification.uploaded_until
        where = place_in_words(desk.study, desk.server, desk.choice, desk.settings, until)
        put(self.ui.placeLabel, "\n".join(filter(None, (desk.study.is_not_seen, where))))
        place = desk.study.place
        tip = place.why if isinstance(place, ToUpload) else self.ui.placeLabel.text
        self.ui.placeLabel.toolTip = plain_tip(tip)

    def _show_choice(self) -> None:
        choice, ui = self.desk.choice, self.ui
        tasks = [(each.title, each.name) for each in choice.tasks]
        models = [(model_title(each), each.name) for each in choice.models]
        self._offer(ui.taskBox, tasks, choice.task.name if choice.task is not None else "")
        self._offer(ui.modelBox, models, choice.model.name if choice.model is not None else "")
        facts = model_in_words(choice.model) if choice.model is not None else ()
        put(ui.modelFactsLabel, "\n".join(facts))

    def _offer(self, box: Any, offered: list[tuple[str, str]], chosen: str) -> None:
        """Put into a box what is offered, without telling the logic of a choice that it made itself."""
        before = box.blockSignals(True)
        if offered != self._offered.get(box.name):
            # An open list is closed by this, so it is not done without need.
            self._offered[box.name] = offered
            box.clear()
            for title, name in offered:
                box.addItem(title, name)
        box.setCurrentIndex(box.findData(chosen))
        box.enabled = bool(offered)
        box.blockSignals(before)

    def _show_button(self) -> None:
        button, classification = self.ui.classifyButton, self.desk.classification
        if classification.state != IDLE:
            button.text, button.enabled = _("Cancel"), True
            button.toolTip = _("End the classification of this volume; the server stops, too")
            return
        why_not = classification.can_start
        button.text, button.enabled = _("Classify"), not why_not
        tip = _("Ask the chosen network what it sees in this volume ({keys})").format(keys=KEYS)
        button.toolTip = plain_tip(why_not or tip)

    def _show_progress(self) -> None:
        bar, classification = self.ui.classifyBar, self.desk.classification
        state, progress = classification.state, classification.progress
        bar.visible = state != IDLE
        share = progress[0] / progress[1] if progress is not None and state != COMPUTING else 1
        # Without a maximum it says that something goes on, and not how far it is.
        bar.maximum, bar.value = (1000, round(1000 * share)) if share < 1 else (0, 0)
        words = state_in_words(classification) if state != IDLE else classification.can_start
        put(self.ui.classifyStateLabel, words)

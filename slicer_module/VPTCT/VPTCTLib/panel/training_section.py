"""TrainingSection: ordering a training, watching it, and choosing which version answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import qt

from ..contract.training import Progress, Training
from ..contract.versions import Version
from ..i18n import tr as _
from ..logic.desk import Desk
from ..logic.reports import ReportReader
from ..logic.words import duration, pretraining_in_words, when_in_words
from .plain_text import plain_tip
from .section import Section
from .training_curve import draw_curve

PRETRAININGS = ("auto", "kinetics", "ct", "kinetics+ct", "imagenet", "imagenet+ct", "none")
LEARNING_RATES = ("0.01", "0.001", "0.0001", "0.00001")
_COLUMNS = 4


class TrainingSection(Section):
    """The last step of the round: the network learns from the labels."""

    name = "TrainingSection"

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        super().__init__(desk, resource)
        self._trainings, self._versions = desk.trainings, desk.versions
        self._reports = ReportReader(desk.server, desk.choice, desk.jobs, desk.messages, desk.scratch_folder)
        self._settings_of = ""
        self._listed: tuple[int, ...] = ()
        self._fill_menus()
        ui = self.ui
        ui.trainButton.connect("clicked(bool)", self._order)
        ui.stopButton.connect("clicked(bool)", self._stop)
        ui.promoteButton.connect("clicked(bool)", self._promote)
        ui.rollBackButton.connect("clicked(bool)", self._roll_back)
        ui.reportButton.connect("clicked(bool)", self._open_report)
        ui.versionsTable.connect("itemSelectionChanged()", self._show_version_buttons)
        self.follow(self._trainings.changed, self._show_training)
        self.follow(self._versions.changed, self._show_versions)
        self.follow(self._versions.changed, self._show_training)
        self.follow(desk.choice.changed, self._show_settings)
        self.follow(self._reports.ready, _open_in_browser)
        self._show_settings()
        self._show_training()
        self._show_versions()

    def open(self) -> None:
        """Show it; it is closed at first."""
        self.ui.trainingButton.collapsed = False

    # Settings

    def _fill_menus(self) -> None:
        for each in PRETRAININGS:
            self.ui.pretrainingBox.addItem(pretraining_in_words(each), each)
        self.ui.learningRateBox.addItem(_("chosen by the training"), "")
        for each in LEARNING_RATES:
            self.ui.learningRateBox.addItem(each, each)
        self.ui.foldsBox.addItem(_("chosen by the training"), None)
        self.ui.foldsBox.addItem(_("one validation side"), 0)
        for folds in (3, 5, 10):
            self.ui.foldsBox.addItem(_("{n} folds").format(n=folds), folds)

    def _show_settings(self) -> None:
        model = self.desk.choice.model
        name = model.name if model is not None else ""
        if model is None or name == self._settings_of:
            return
        self._settings_of = name
        defaults = model.settings
        index = self.ui.pretrainingBox.findData(defaults.get("pretraining", "auto"))
        self.ui.pretrainingBox.setCurrentIndex(max(0, index))
        for box, key in self._numbers().items():
            if isinstance(defaults.get(key), int):
                box.setValue(defaults[key])

    def _numbers(self) -> Mapping[Any, str]:
        ui = self.ui
        return {
            ui.epochsBox: "epochs", ui.stepsBox: "steps_per_epoch", ui.batchBox: "batch", ui.seedBox: "seed",
        }  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """What is not the server's default: only that is asked for."""
        model = self.desk.choice.model
        defaults = model.settings if model is not None else {}
        ui = self.ui
        asked: dict[str, Any] = {"pretraining": ui.pretrainingBox.currentData}
        asked.update({key: box.value for box, key in self._numbers().items()})
        asked = {key: value for key, value in asked.items() if defaults.get(key) != value}
        if ui.learningRateBox.currentData:
            asked["learning_rate"] = float(ui.learningRateBox.currentData)
        if ui.foldsBox.currentData is not None:
            asked["folds"] = ui.foldsBox.currentData
        return asked

    # The training

    def _order(self) -> None:
        self._trainings.order(self.settings())

    def _stop(self) -> None:
        title, text = _("Stop the training?"), _("What it learned so far is kept: ordered again, it goes on.")
        if self.desk.questions.confirm(title, text, _("Stop training")):
            self._trainings.stop()

    def _show_training(self) -> None:
        ui, training = self.ui, self._trainings.current
        why_not = self._trainings.why_not
        ui.trainButton.enabled = not why_not
        tip = _("Trains the chosen network on the labels that readers saved")
        ui.trainButton.toolTip = plain_tip(why_not or tip)
        ui.stopButton.visible = self._trainings.can_stop
        runs = training is not None and training.state == "running"
        ui.trainingBar.visible = runs
        progress = training.progress if training is not None else None
        if runs and progress is not None:
            ui.trainingBar.maximum = progress.steps  # 0 of 0: busy, and nobody knows how long.
            ui.trainingBar.value = progress.step
        ui.trainingLabel.text = why_not if training is None else self._words(training)
        curve = self._trainings.curve
        ui.curveLabel.visible = bool(curve)
        if curve:
            ui.curveLabel.setPixmap(draw_curve(curve, ui.curveLabel))

    def _words(self, training: Training) -> str:
        if training.state == "queued":
            return _("Waits for its turn: {n} before it.").format(n=self._trainings.before)
        if training.state == "running":
            return _progress_in_words(training.progress)
        if training.outcome is not None:
            since = self._versions.chosen_since(training)
            chosen = [] if since is None else [_("Version {n} was chosen to answer since.").format(n=since)]
            return "\n".join([training.outcome.decision, *chosen, *training.outcome.warnings])
        if training.state == "stopped":
            return _("The last training was stopped. What answers has not changed.")
        failure = training.failure
        if failure is None:
            return training.state
        return f"{failure.detail[:1].upper()}{failure.detail[1:]}\n{failure.hint}".strip()

    # The versions

    def _chosen_version(self) -> int | None:
        """As the table has it: a newer version may be known, and not be in the table yet."""
        row = self.ui.versionsTable.currentRow()
        return self._listed[row] if 0 <= row < len(self._listed) else None

    def _show_versions(self) -> None:
        table, versions = self.ui.versionsTable, self._versions.newest_first
        chosen = self._chosen_version()
        self._listed = tuple(each.version for each in versions)
        table.setRowCount(len(versions))
        for row, version in enumerate(versions):
            for column, text in enumerate(_row(version)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(plain_tip(version.problem or self._comparison(version)))
                table.setItem(row, column, item)
        if chosen in self._listed:
            table.selectRow(self._listed.index(chosen))
        else:
            table.setCurrentItem(None)
        table.resizeColumnsToContents()
        ui = self.ui
        ui.versionsTable.visible = ui.promoteButton.visible = ui.rollBackButton.visible = bool(versions)
        ui.reportButton.visible = bool(versions)
        ui.noVersionsLabel.visible = not versions
        self._show_version_buttons()

    def _show_version_buttons(self) -> None:
        ui, chosen = self.ui, self._chosen_version()
        for button, why, tip in (
            (ui.promoteButton, self._versions.why_no_promotion(chosen), _("Lets the chosen version answer")),
            (ui.rollBackButton, self._versions.why_no_rollback, _("Lets the version before answer again")),
        ):
            button.enabled = not why
            button.toolTip = plain_tip(why or tip)
        version = next((each for each in self._versions.newest_first if each.version == chosen), None)
        ui.reportButton.enabled = version is not None and version.report
        text = self._comparison(version) if version is not None else ""
        ui.comparisonLabel.text = text
        # The training that has just ended says the same of its version above.
        ui.comparisonLabel.visible = bool(text) and text not in ui.trainingLabel.text

    def _comparison(self, version: Version) -> str:
        return version.comparison.sentence if version.comparison is not None else (version.problem or "")

    def _promote(self) -> None:
        version = self._chosen_version()
        if version is None:
            return
        title = _("Let version {n} answer?").format(n=version)
        text = _(
            "From then on it answers for everybody who uses this server. What was answered before stays as "
            "it is, and “Roll back” lets the version before answer again."
        )
        if self.desk.questions.confirm(title, text, _("Let it answer")):
            self._versions.promote(version)

    def _roll_back(self) -> None:
        self._versions.roll_back()

    def _open_report(self) -> None:
        version = self._chosen_version()
        if version is not None:
            self._reports.read(version)


def _open_in_browser(path: Path) -> None:
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))


def _row(version: Version) -> Sequence[str]:
    aurocs = version.validation_auroc or {}
    worst = min(
        (each for each in aurocs.values() if each.value is not None),
        key=lambda each: each.value or 0.0,
        default=None,
    )
    trained_on = "" if version.trained_on is None else str(version.trained_on)
    if version.synthetic:
        trained_on = _("{n} phantoms").format(n=trained_on)
    state = _(" (answers)") if version.served else ""
    return (
        f"{version.version}{state}",
        str(worst) if worst is not None else _("n/a"),
        trained_on or _("n/a"),
        when_in_words(version.created),
    )


def _progress_in_words(progress: Progress | None) -> str:
    if progress is None:
        return _("Starts ...")
    in_words = _STATES.get(progress.state)
    parts = [in_words(progress) if in_words is not None else progress.state]
    if progress.loss is not None and progress.state == "training":
        parts.append(_("loss {loss:.3f}").format(loss=progress.loss))
    if progress.validation_auroc is not None:
        parts.append(_("validation AUROC {now:.2f}").format(now=progress.validation_auroc))
    if progress.best_auroc is not None and progress.best_auroc != progress.validation_auroc:
        parts.append(_("best {best:.2f}").format(best=progress.best_auroc))
    if progress.seconds_left is not None:
        parts.append(_("about {time} left").format(time=duration(progress.seconds_left)))
    return ", ".join(parts) + "." + (f"\n{progress.note}" if progress.note else "")


def _epoch(progress: Progress) -> str:
    words = _("Epoch {n} of {of}").format(n=progress.epoch, of=progress.epochs)
    if progress.folds and progress.fold:
        return _("Fold {n} of {of}, {rest}").format(n=progress.fold, of=progress.folds, rest=words.lower())
    return words


_STATES: Mapping[str, Callable[[Progress], str]] = {
    "preparing": lambda each: _("Prepares studies: {n} of {of}").format(n=each.step, of=each.steps),
    "searching": lambda each: _("Looks for the learning rate"),
    "training": _epoch,
    "validating": lambda each: _("Validates. {epoch}").format(epoch=_epoch(each)),
    "comparing": lambda each: _("Compares with the version that answers"),
    "publishing": lambda each: _("Publishes the new version"),
    "done": lambda each: _("Done"),
}

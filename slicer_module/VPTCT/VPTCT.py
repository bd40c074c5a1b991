"""VPTCT: Slicer's shell around VPTCTLib, which has all that the module does."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from VPTCTLib.logic.desk import Desk, Surroundings
from VPTCTLib.panel.panel import Panel
from VPTCTLib.panel.qt_questions import QtQuestions
from VPTCTLib.panel.qt_ticker import QtTicker
from VPTCTLib.panel.sample_data import register_sample_data
from VPTCTLib.panel.settings_panel import SettingsPanel
from VPTCTLib.panel.settings_store import SettingsStore
from VPTCTLib.scene.parameters import Parameters
from VPTCTLib.settings import Settings


class VPTCT(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Chest CT Video Networks (VPTCT)")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Active Learning")]
        parent.contributors = [_("The VPTCT developers")]
        parent.helpText = _(
            "Classifies the chest CT on screen with a video-pretrained 3D network of a MONAI Label server, "
            "shows which slices speak for the answer, takes your label, asks for the next study, retrains. "
            "For research, not for clinical use."
        )
        parent.acknowledgementText = _(
            "After Ke et al., Video Pretraining Advances 3D Deep Learning on Chest CT Tasks (PMLR 227, 2023)."
        )
        self._settings_panel = None
        slicer.app.connect("startupCompleted()", self._on_started)

    def _on_started(self):
        """All modules are there, and so is the settings dialog."""
        register_sample_data(Path(__file__).parent / "Resources" / "Icons")
        if self._settings_panel is not None or slicer.util.mainWindow() is None:
            return
        self._settings_panel = SettingsPanel(_settings())
        slicer.app.settingsDialog().addPanel("VPTCT", self._settings_panel.widget)


class VPTCTWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Ties Slicer's life to the panel's."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.ticker = self.desk = self.panel = self._scratch = None

    def setup(self):
        """Make the panel; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = VPTCTLogic()
        self.ticker = QtTicker()
        self._scratch = Path(slicer.util.tempDirectory())
        self.desk = Desk(self._surroundings())
        self.panel = Panel(self.desk, self.resourcePath)
        self.layout.addWidget(self.panel.widget)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._on_scene_closes)
        self.addObserver(scene, scene.EndCloseEvent, self._on_scene_is_there)
        self.addObserver(scene, scene.EndImportEvent, self._on_scene_is_there)
        self._on_scene_is_there()
        if self.parent.isEntered:
            # A reload comes while the module is open, and Slicer does not open it again.
            self.panel.enter()

    def enter(self):
        """The reader opens the module."""
        self._on_scene_is_there()
        self.panel.enter()

    def exit(self):
        """The reader opens another module."""
        self.panel.leave()

    def cleanup(self):
        """The module is reloaded, or Slicer ends: nothing of it may run on."""
        self.removeObservers()
        if self.panel is None:
            return
        self.panel.close()
        self.desk.close()
        self.ticker.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def onReload(self):  # noqa: N802 - Slicer's name
        """Reload the library, too; Slicer by itself reloads this file alone."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "VPTCTLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def _surroundings(self):
        data = qt.QStandardPaths.writableLocation(qt.QStandardPaths.AppDataLocation)
        return Surroundings(
            ticker=self.ticker,
            settings=_settings(),
            questions=QtQuestions(),
            outbox_folder=Path(data) / "VPTCT" / "labels that wait",
            scratch_folder=self._scratch,
            series_of_instance=_series_of_instance,
            examination_of_series=_examination_of_series,
        )

    def _on_scene_closes(self, caller=None, event=None):
        self.desk.leave_scene()

    def _on_scene_is_there(self, caller=None, event=None):
        self.desk.use_scene(self.logic.getParameterNode())


class VPTCTLogic(ScriptedLoadableModuleLogic):
    """Gives other scripts the parameters of the module."""

    def getParameterNode(self):  # noqa: N802 - Slicer's name
        """What the scene remembers of the panel."""
        return Parameters(super().getParameterNode())


class VPTCTTest(ScriptedLoadableModuleTest):
    """Slicer's self-test; VPTCTLib/panel/selftest.py has it."""

    def runTest(self, **options):  # noqa: N802 - Slicer's name
        """Run it. ``options``: see ``selftest.run``."""
        from VPTCTLib.panel.selftest import run

        run(self.delayDisplay, **options)


def _settings():
    """What the reader chose on this computer."""
    return Settings(SettingsStore(slicer.app.userSettings()))


def _series_of_instance(instance_uid):
    """The SeriesInstanceUID of an instance in Slicer's DICOM database; "" where it is not there."""
    database = _open_dicom_database()
    return database.instanceValue(instance_uid, "0020,000e") if database is not None else ""


def _examination_of_series(series_uid):
    """The StudyInstanceUID of a series in Slicer's DICOM database; "" where it is not there."""
    database = _open_dicom_database()
    return database.studyForSeries(series_uid) if database is not None else ""


def _open_dicom_database():
    """None where it is closed, and where Slicer runs without its DICOM module, which makes the alias."""
    database = getattr(slicer, "dicomDatabase", None)
    return database if database is not None and database.isOpen else None

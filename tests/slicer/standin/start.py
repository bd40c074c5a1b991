"""Start the stand-in: after this, ``import qt, ctk, slicer`` in a module finds what it finds in Slicer."""

from __future__ import annotations

import ctypes
import gc
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from standin.dicom_database import DicomDatabase
from standin.qt_module import install_qt
from standin.scene_cache import add_cache


def start() -> Any:
    """Start the application; once per process. Returns ``slicer.app``."""
    import slicer

    _keep_none()
    qt = install_qt()
    from standin.application import Application
    from standin.ctk_module import install_ctk

    ctk = install_ctk(qt)
    _keep_settings_apart(qt)
    # A widget may end in the main thread only: collected in a job's thread it waits there for ever.
    gc.disable()
    slicer.app = Application()
    slicer.app.setStyle("Fusion")
    slicer.app.setAttribute(qt.Qt.AA_DontShowIconsInMenus)
    _start_scene(slicer)
    slicer.modules, slicer.moduleNames, slicer.selfTests = SimpleNamespace(), SimpleNamespace(), {}
    slicer.dicomDatabase = DicomDatabase()
    _add_python_modules(slicer)
    from standin.module_loader import qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget
    from standin.mrml_widgets import install_mrml_widgets
    from standin.sample_data import install_sample_data
    from standin.ui_loader import install_ui_loader

    install_mrml_widgets(slicer)
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    install_ui_loader(qt, ctk, slicer)
    install_sample_data()
    return slicer.app


def _keep_none() -> None:
    """Let None outlive PySide6 6.12, which drops a reference to it with every call that returns nothing.

    Before Python 3.12, where None became immortal, some five thousand such calls end the process.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def _keep_settings_apart(qt: Any) -> None:
    """Settings of the tests are files of the tests."""
    qt.QCoreApplication.setOrganizationName("VPTCT tests")
    qt.QCoreApplication.setApplicationName("Slicer")
    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, tempfile.mkdtemp())


def _start_scene(slicer: Any) -> None:
    import vtk

    scene = slicer.mrmlScene = slicer.vtkMRMLScene()
    add_cache(slicer, scene, Path(tempfile.mkdtemp()) / "cache")
    logic = slicer.vtkSlicerApplicationLogic()
    slicer.app.set_parts(logic)
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)


def _add_python_modules(slicer: Any) -> None:
    from standin import scripted_module

    slicer.ScriptedLoadableModule = sys.modules["slicer.ScriptedLoadableModule"] = scripted_module
    sys.modules["slicer.modules"] = slicer.modules

"""The module ``ctk`` of Slicer: the few widgets of CTK that a module's panel uses."""

from __future__ import annotations

import sys
from types import ModuleType


def install_ctk(qt: ModuleType) -> ModuleType:
    """Make ``import ctk`` work, as it does in Slicer; ``qt`` must be there already."""
    from standin.collapsible import ctkCollapsibleButton, ctkCollapsibleGroupBox
    from standin.settings_panel import ctkSettingsPanel

    ctk = ModuleType("ctk")
    for cls in (ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkSettingsPanel):
        setattr(ctk, cls.__name__, cls)
    for name, base in {
        "ctkMessageBox": qt.QMessageBox,
        "ctkPushButton": qt.QPushButton,
        "ctkCheckBox": qt.QCheckBox,
        "ctkComboBox": qt.QComboBox,
    }.items():
        setattr(ctk, name, type(name, (base,), {"__module__": "ctk"}))
    sys.modules["ctk"] = ctk
    return ctk

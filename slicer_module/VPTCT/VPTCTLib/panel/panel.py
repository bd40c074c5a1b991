"""Panel: the sections from top to bottom, in the order of a reader's work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import qt
import slicer

from ..logic.desk import Desk
from .evidence_section import EvidenceSection
from .findings_section import FindingsSection
from .history_section import HistorySection
from .label_section import LabelSection
from .message_bar import MessageBar
from .next_section import NextSection
from .section import Section, Shortcut
from .server_section import ServerSection
from .study_section import StudySection
from .training_section import TrainingSection

SECTIONS: Sequence[type[Section]] = (
    ServerSection,
    StudySection,
    FindingsSection,
    EvidenceSection,
    LabelSection,
    NextSection,
    TrainingSection,
    HistorySection,
)


class Panel:
    """All that the reader sees.

    Args:
        desk: the logic.
        resource: gives the path of a file in the module's Resources.

    Attributes:
        widget: to be put into Slicer's module panel.
        sections: by the names of their .ui files.
    """

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        self.widget = slicer.util.loadUI(resource("UI/VPTCT.ui"))
        self.ui: Any = slicer.util.childWidgetVariables(self.widget)
        self._messages = MessageBar(desk.messages, self.ui)
        self.sections: dict[str, Any] = {each.name: each(desk, resource) for each in SECTIONS}
        self.sections["NextSection"].retrain_wanted.connect(self.sections["TrainingSection"].open)
        for section in self.sections.values():
            self.ui.sections.layout().addWidget(section.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        for section in self.sections.values():
            section.widget.setMRMLScene(slicer.mrmlScene)
        self._keys: list[Any] = []

    def enter(self) -> None:
        """The reader opens the module: its keys work from now on."""
        self._keys = [self._key(each) for section in self.sections.values() for each in section.shortcuts()]
        for section in self.sections.values():
            section.enter()

    def leave(self) -> None:
        """The reader opens another module, whose keys may be the same."""
        for key in self._keys:
            key.setEnabled(False)
            key.setParent(None)
        self._keys = []
        for section in self.sections.values():
            section.leave()

    def close(self) -> None:
        """Hear no more of the logic."""
        self.leave()
        self._messages.close()
        for section in self.sections.values():
            section.close()

    def _key(self, shortcut: Shortcut) -> Any:
        key = qt.QShortcut(slicer.util.mainWindow() or self.widget)
        key.setKey(qt.QKeySequence(shortcut.keys))
        key.connect("activated()", shortcut.press)
        return key

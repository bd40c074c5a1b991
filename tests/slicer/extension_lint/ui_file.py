"""Rules for a .ui file of a section."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

# What a reader clicks or types into: each says in a tool tip what it does.
_USED_BY_HAND = {
    "QPushButton", "QToolButton", "QCheckBox", "QRadioButton", "QComboBox", "QSlider", "QSpinBox", "QDial",
    "QDoubleSpinBox", "QLineEdit", "QTextEdit", "QPlainTextEdit", "QListWidget", "QTreeWidget",
    "QTableWidget", "qMRMLNodeComboBox", "ctkSliderWidget", "ctkPathLineEdit", "ctkDoubleSlider",
}  # fmt: skip
_NO_FOCUS = {"QLabel", "QFrame", "QProgressBar", "QWidget"}


class UiFile:
    """A .ui file.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = ElementTree.parse(path).getroot()

    @cached_property
    def widgets(self) -> dict[str, ElementTree.Element]:
        """By their names."""
        return {widget.get("name", ""): widget for widget in self.root.iter("widget")}

    def problems(self) -> list[str]:
        """All that is wrong with it."""
        rules = (
            self._top, self._names, self._tab_order, self._tool_tips, self._buddies, self._custom_widgets,
            self._icons, self._scene, self._enums, self._markup,
        )  # fmt: skip
        return [f"{self.path.name}: {problem}" for rule in rules for problem in rule()]

    def mnemonics(self) -> list[str]:
        """The letters that stand after an ampersand, as Alt+letter, in lower case."""
        texts = [_text(widget, "text") or _text(widget, "title") for widget in self.root.iter("widget")]
        return [letter.lower() for text in texts for letter in re.findall(r"&(\w)", text.replace("&&", ""))]

    def _top(self) -> Iterator[str]:
        top = self.root.find("widget")
        if top is None or top.get("class") != "qMRMLWidget":
            yield "the widget at the top is no qMRMLWidget, which has the scene"
        elif not top.get("name") == self.root.findtext("class") == self.path.stem:
            yield f"file, class and the widget at the top do not have the same name: {top.get('name')}"

    def _names(self) -> Iterator[str]:
        named = [each for each in self.root.iter() if each.tag in ("widget", "layout", "action", "spacer")]
        counts = Counter(each.get("name") for each in named)
        for name, count in counts.items():
            if not name:
                yield f"{count} widgets or layouts have no name"
            elif count > 1:
                yield f"{count} things are named {name}"

    def _tab_order(self) -> Iterator[str]:
        stops = [stop.text or "" for stop in self.root.findall("tabstops/tabstop")]
        for name in stops:
            if name not in self.widgets:
                yield f"the tab order names {name}, which does not exist"
        for name, count in Counter(stops).items():
            if count > 1:
                yield f"the tab order names {name} {count} times"

    def _tool_tips(self) -> Iterator[str]:
        for name, widget in self.widgets.items():
            if widget.get("class") in _USED_BY_HAND and not _text(widget, "toolTip"):
                yield f"{name} has no tool tip"

    def _buddies(self) -> Iterator[str]:
        for name, widget in self.widgets.items():
            buddy = widget.findtext("property[@name='buddy']/cstring")
            if buddy is None:
                if widget.get("class") == "QLabel" and re.search(r"&\w", _text(widget, "text")):
                    yield f"{name} has a mnemonic and no buddy"
            elif buddy not in self.widgets:
                yield f"{name} has the buddy {buddy}, which does not exist"
            elif self.widgets[buddy].get("class") in _NO_FOCUS:
                yield f"{name} has the buddy {buddy}, which takes no keys"

    def _custom_widgets(self) -> Iterator[str]:
        declared = {each.findtext("class") for each in self.root.findall("customwidgets/customwidget")}
        used = {widget.get("class", "") for widget in self.widgets.values()}
        for name in sorted(used - declared):
            if not name.startswith("Q"):
                yield f"{name} is not declared as a custom widget"
        for name in sorted(filter(None, declared - used)):
            yield f"{name} is declared and not used"

    def _icons(self) -> Iterator[str]:
        for icon in self.root.iter("iconset"):
            for name in filter(None, [icon.text and icon.text.strip(), *(each.text for each in icon)]):
                if not name.startswith(":") and not (self.path.parent / name).is_file():
                    yield f"the icon {name} does not exist"

    def _scene(self) -> Iterator[str]:
        links = self.root.findall("connections/connection")
        told = {each.findtext("receiver") for each in links if "mrmlScene" in each.findtext("signal", "")}
        for name, widget in self.widgets.items():
            if widget.get("class", "").startswith("qMRMLNode") and name not in told:
                yield f"{name} is not told of the scene"

    def _enums(self) -> Iterator[str]:
        for each in self.root.iter():
            for value in (each.text or "").split("|") if each.tag in ("enum", "set") else ():
                if value.count("::") > 1:
                    yield f"{value} is written as Qt 6 does: Qt 5 cannot read it"

    def _markup(self) -> Iterator[str]:
        """A label whose words come later shows those of servers, studies and readers."""
        for name, widget in self.widgets.items():
            is_plain = widget.findtext("property[@name='textFormat']/enum") == "Qt::PlainText"
            if widget.get("class") == "QLabel" and not _text(widget, "text") and not is_plain:
                yield f"{name} would take the words that it gets for markup: it is no Qt::PlainText"


def _text(widget: ElementTree.Element, name: str) -> str:
    return widget.findtext(f"property[@name='{name}']/string") or ""

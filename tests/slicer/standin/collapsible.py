"""CTK's two widgets with a header that shows and hides what is below it."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from standin.pythonqt import PythonQtObject

# Qt's QWIDGETSIZE_MAX, which PySide6 has no name for.
_ANY_PIXELS = (1 << 24) - 1


class _Contents(QtCore.QObject):
    """The children of a section: hidden while it is collapsed, and then as they would have been without."""

    def __init__(self, owner: QtWidgets.QWidget) -> None:
        super().__init__()
        self._owner = owner
        self._hidden: list[QtWidgets.QWidget] = []
        self._collapsed = self._at_work = False

    def collapse(self, collapsed: bool) -> None:
        """Hide those that are shown, or show those that this hid."""
        self._collapsed = collapsed
        children = [child for child in self._owner.children() if child.isWidgetType()]
        changed = [child for child in children if not child.isHidden()] if collapsed else self._hidden
        self._hidden = []
        for child in changed:
            child.installEventFilter(self)
            self._put(child, not collapsed)

    def add(self, event: Any) -> None:
        """A child came; before it is polished it is not yet made, and may not be touched."""
        if event.type() == QtCore.QEvent.ChildPolished and event.child().isWidgetType():
            event.child().installEventFilter(self)
            if self._collapsed and not event.child().isHidden():
                self._put(event.child(), False)

    def eventFilter(self, child: Any, event: Any) -> bool:
        """What is shown or hidden in a collapsed section is so when it opens."""
        if self._collapsed and not self._at_work:
            if event.type() == QtCore.QEvent.ShowToParent:
                self._put(child, False)
            elif event.type() == QtCore.QEvent.HideToParent and child in self._hidden:
                self._hidden.remove(child)
        return False

    def _put(self, child: QtWidgets.QWidget, shown: bool) -> None:
        if not shown and child not in self._hidden:
            self._hidden.append(child)
        self._at_work = True
        child.setVisible(shown)
        # As if nobody had said so: otherwise Qt would not tell of a child that is hidden while it is hidden.
        child.setAttribute(QtCore.Qt.WA_WState_ExplicitShowHide, False)
        self._at_work = False


class ctkCollapsibleButton(PythonQtObject, QtWidgets.QAbstractButton):  # noqa: N801
    """A button over a section of the panel."""

    contentsCollapsed = QtCore.Signal(bool)
    HEADER_PIXELS = 24

    def __init__(self, *arguments: Any) -> None:
        texts = [argument for argument in arguments if isinstance(argument, str)]
        super().__init__(*[argument for argument in arguments if isinstance(argument, QtWidgets.QWidget)])
        self._contents = _Contents(self)
        self.setText(texts[0] if texts else "")
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(2, self.HEADER_PIXELS, 2, 2)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.toggled.connect(self._toggled)

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, lambda self: not self.isChecked(), _set_collapsed)

    def _toggled(self, is_open: bool) -> None:
        self._contents.collapse(not is_open)
        self.updateGeometry()
        self.update()
        self.contentsCollapsed.emit(not is_open)

    def childEvent(self, event: Any) -> None:
        """What comes into a collapsed section is hidden, too."""
        self._contents.add(event)

    def hitButton(self, position: Any) -> bool:
        """The header alone is the button."""
        return position.y() < self.HEADER_PIXELS

    def sizeHint(self) -> Any:
        """The header and, where it is open, what is below."""
        if self.layout() is not None and self.isChecked():
            return self.layout().totalSizeHint()
        return QtCore.QSize(120, self.HEADER_PIXELS + 2)

    def minimumSizeHint(self) -> Any:
        """The least of it."""
        if self.layout() is not None and self.isChecked():
            return self.layout().totalMinimumSize()
        return QtCore.QSize(60, self.HEADER_PIXELS + 2)

    def paintEvent(self, event: Any) -> None:
        """A bar with an arrow and the text."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        painter.setPen(QtCore.Qt.NoPen)
        painter.setBrush(self.palette.color(QtGui.QPalette.Button).darker(106))
        painter.drawRoundedRect(0, 0, self.width, self.HEADER_PIXELS - 3, 3, 3)
        painter.setPen(self.palette.color(QtGui.QPalette.ButtonText))
        painter.drawText(8, 16, "▾" if self.isChecked() else "▸")
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(24, 16, self.text)
        painter.end()


class ctkCollapsibleGroupBox(PythonQtObject, QtWidgets.QGroupBox):  # noqa: N801
    """A group with a title that folds it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._contents = _Contents(self)
        self.setCheckable(True)
        self.toggled.connect(self._toggled)

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, lambda self: not self.isChecked(), _set_collapsed)

    def _toggled(self, is_open: bool) -> None:
        self._contents.collapse(not is_open)
        self.setMaximumHeight(_ANY_PIXELS if is_open else 22)

    def childEvent(self, event: Any) -> None:
        """What comes into a collapsed group is hidden, too."""
        self._contents.add(event)

    def paintEvent(self, event: Any) -> None:
        """An arrow in the place of the check box."""
        painter = QtGui.QPainter(self)
        painter.setPen(self.palette.color(QtGui.QPalette.WindowText))
        painter.drawText(4, 15, "▾" if self.isChecked() else "▸")
        painter.drawText(18, 15, self.title)
        painter.end()


for _cls in (ctkCollapsibleButton, ctkCollapsibleGroupBox):
    _cls.__module__ = "ctk"

"""CTK's two widgets with a header that shows and hides what is below it."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from standin.pythonqt import PythonQtObject


class _Hidden:
    """The children that a collapsed widget hides, and no others: what was hidden before stays so."""

    def __init__(self, owner: QtWidgets.QWidget) -> None:
        self._owner = owner
        self._children: list[QtWidgets.QWidget] = []

    def hide(self) -> None:
        children = [child for child in self._owner.children() if child.isWidgetType()]
        self._children = [child for child in children if not child.isHidden()]
        for child in self._children:
            child.hide()

    def show(self) -> None:
        for child in self._children:
            child.show()
        self._children = []

    def add(self, child: QtWidgets.QWidget) -> None:
        child.hide()
        self._children.append(child)


class ctkCollapsibleButton(PythonQtObject, QtWidgets.QAbstractButton):  # noqa: N801
    """A button over a section of the panel."""

    contentsCollapsed = QtCore.Signal(bool)
    HEADER_PIXELS = 24

    def __init__(self, *arguments: Any) -> None:
        texts = [argument for argument in arguments if isinstance(argument, str)]
        super().__init__(*[argument for argument in arguments if isinstance(argument, QtWidgets.QWidget)])
        self._hidden = _Hidden(self)
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
        if is_open:
            self._hidden.show()
        else:
            self._hidden.hide()
        self.updateGeometry()
        self.update()
        self.contentsCollapsed.emit(not is_open)

    def childEvent(self, event: Any) -> None:
        """What comes into a collapsed section is hidden, too."""
        if event.added() and event.child().isWidgetType() and not self.isChecked():
            self._hidden.add(event.child())

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
        self._hidden = _Hidden(self)
        self.setCheckable(True)
        self.toggled.connect(self._toggled)

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, lambda self: not self.isChecked(), _set_collapsed)

    def _toggled(self, is_open: bool) -> None:
        if is_open:
            self._hidden.show()
        else:
            self._hidden.hide()
        self.setMaximumHeight(QtWidgets.QWIDGETSIZE_MAX if is_open else 22)

    def childEvent(self, event: Any) -> None:
        """What comes into a collapsed group is hidden, too."""
        if event.added() and event.child().isWidgetType() and not self.isChecked():
            self._hidden.add(event.child())

    def paintEvent(self, event: Any) -> None:
        """An arrow in the place of the check box."""
        painter = QtGui.QPainter(self)
        painter.setPen(self.palette.color(QtGui.QPalette.WindowText))
        painter.drawText(4, 15, "▾" if self.isChecked() else "▸")
        painter.drawText(18, 15, self.title)
        painter.end()


for _cls in (ctkCollapsibleButton, ctkCollapsibleGroupBox):
    _cls.__module__ = "ctk"

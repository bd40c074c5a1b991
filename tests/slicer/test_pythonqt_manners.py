"""The module's code keeps to what every Slicer can run, and its words can be translated."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from extension_lint import pythonqt_manners, translated_texts
from extension_lint.pythonqt_manners import problems

MODULE = Path(__file__).resolve().parents[2] / "slicer_module" / "VPTCT"
LIBRARY = MODULE / "VPTCTLib"
SHELL = [MODULE / "VPTCT.py", *sorted((MODULE / "Testing").rglob("*.py"))]
WITH_QT = [*SHELL, *sorted((LIBRARY / "panel").glob("*.py"))]
WITH_WORDS = [*WITH_QT, *sorted(LIBRARY.glob("*.py")), *sorted((LIBRARY / "logic").glob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(MODULE))


@pytest.mark.parametrize("path", WITH_QT, ids=name_of)
def test_a_file_with_qt_has_the_manners_of_pythonqt(path: Path) -> None:
    assert problems(path.read_text(encoding="utf-8"), pythonqt_manners.RULES) == []


@pytest.mark.parametrize("path", WITH_WORDS, ids=name_of)
def test_the_words_of_a_file_can_be_translated(path: Path) -> None:
    assert problems(path.read_text(encoding="utf-8"), translated_texts.RULES) == []


@pytest.mark.parametrize("path", SHELL, ids=name_of)
def test_the_shell_is_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('qt.QLabel(text="x")', "keyword"),
        ('ctk.ctkCollapsibleButton(text="x")', "keyword"),
        ("a = qt.Qt.AlignmentFlag.AlignRight", "qt.Qt.AlignRight"),
        ("a = qt.QMessageBox.StandardButton.Yes", "qt.QMessageBox.Yes"),
        ("changed = qt.Signal(int)", "VPTCTLib.signal"),
        ("@qt.Slot()\ndef f(): ...", "a function"),
        ("dialog.exec()", "exec_"),
        ("qt.QRegExp('a')", "re"),
        ("row.setMargin(0)", "setContentsMargins"),
        ("b == qt.Qt.MidButton", "MiddleButton"),
        ("from PySide6 import QtCore", "import qt"),
        ("import PyQt5.QtCore", "import qt"),
        ("def f(event): return event.position().x()", "hasattr"),
        ("def f(event): return event.pos().x()", "hasattr"),
        ("def f(event): return event.x()", "hasattr"),
        ("a = self.ui.nameLabel.text()", "no parentheses"),
        ("a = self.widget.width()", "no parentheses"),
        ("a = closeButton.enabled()", "no parentheses"),
        ('b.connect("clicked", f)', "no signature"),
        ('b.connect("clicked(bool checked)", f)', "no signature"),
        ('b.connect("rangeChanged(int, int)", f)', "no signature"),
        ('b.disconnect("clicked ()", f)', "no signature"),
        ('b.connect("currentIndexChanged(QString)", f)', "currentTextChanged(QString)"),
        ('b.connect("buttonClicked(int)", f)', "QAbstractButton"),
    ],
)
def test_bad_manners_are_found(bad: str, said: str) -> None:
    assert said in "\n".join(problems(bad))


@pytest.mark.parametrize(
    "good",
    [
        'qt.QLabel("x")',
        "Job(call, done=f)",
        "qt.QSettings().value(key, defaultValue=1)",
        "a = qt.Qt.AlignRight | qt.QMessageBox.Yes",
        "a = qt.QStandardPaths.writableLocation(qt.QStandardPaths.AppDataLocation)",
        "dialog.exec_()",
        "def f(event):\n  return event.position().x() if hasattr(event, 'position') else event.pos().x()",
        "a = self.ui.nameLabel.text",
        "a = self.ui.table.item(0, 1).text()",
        "a = pixmap.width() + layout.count()",
        'b.connect("clicked(bool)", f)',
        'b.connect("clicked()", f)',
        'b.connect("currentNodeChanged(vtkMRMLNode*)", f)',
        "signal.connect(f)",
    ],
)
def test_good_manners_pass(good: str) -> None:
    assert problems(good) == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('label.text = "Server"', "'Server'"),
        ('label.text = f"{n} studies"', "' studies'"),
        ('label.text = "n/a" if x is None else _("known")', "'n/a'"),
        ('label.text = "{n} studies".format(n=n)', "studies"),
        ('qt.QPushButton("Classify")', "'Classify'"),
        ('ToUpload("The server has no such study.")', "no such study"),
        ('table.setHorizontalHeaderLabels([_("Finding"), "AUROC"])', "'AUROC'"),
        ('slicer.util.errorDisplay("It failed.")', "'It failed.'"),
        ('_(f"{n} studies")', "f-string"),
        ("_(text)", "plain text"),
        ('_("a" + b)', "plain text"),
        ('_("{} of {}").format(1, 2)', "without a name"),
    ],
)
def test_words_that_cannot_be_translated_are_found(bad: str, said: str) -> None:
    assert said in "\n".join(problems(bad, translated_texts.RULES))


@pytest.mark.parametrize(
    "good",
    [
        'label.text = _("Server")',
        'label.text = _("{n} of {m}").format(n=1, m=2)',
        'label.text = ""',
        'label.text = f"{value:.2f}"',
        'label.text = "▸ " + name',
        'label.text = "\\n".join(lines)',
        '_log.warning("a job failed")',
        'label.objectName = "serverLabel"',
    ],
)
def test_words_that_can_be_translated_pass(good: str) -> None:
    assert problems(good, translated_texts.RULES) == []

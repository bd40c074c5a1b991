"""Rules for code that runs in Slicer's PythonQt, on Qt 5 and on Qt 6: what PySide6 would let pass.

Each rule is a function from a node of the syntax tree to what is wrong with it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

Rule = Callable[[ast.AST], Iterator[str]]

_LIBRARIES = {"qt", "ctk"}
_SIGNATURE = re.compile(r"[A-Za-z]\w*\((?:[\w:]+[*&]?(?:,[\w:]+[*&]?)*)?\)")
# Of one Qt alone, or of another binding of it: the name and what to write instead.
_NOT_IN_BOTH = {
    "Signal": "VPTCTLib.signal",
    "Slot": "a function",
    "Property": "an attribute of our own",
    "pyqtSignal": "VPTCTLib.signal",
    "QRegExp": "re",
    "QRegExpValidator": "QRegularExpressionValidator",
    "QDesktopWidget": "a widget's own screen",
    "QTextCodec": "Python's encodings",
    "QStringRef": "str",
    "MidButton": "MiddleButton",
    "exec": "exec_",
    "globalPosition": "globalPos",
    "checkStateChanged": "toggled",
    "setMargin": "setContentsMargins",
    "setTabStopWidth": "setTabStopDistance",
    "HighQualityAntialiasing": "Antialiasing",
}
# Signals of Qt 5 that Qt 6 no longer has, or the other way round.
_SIGNALS_NOT_IN_BOTH = {
    "currentIndexChanged(QString)": "currentTextChanged(QString)",
    "activated(QString)": "activated(int)",
    "highlighted(QString)": "highlighted(int)",
    "buttonClicked(int)": "buttonClicked(QAbstractButton*)",
    "buttonToggled(int,bool)": "buttonToggled(QAbstractButton*,bool)",
    "checkStateChanged(Qt::CheckState)": "toggled(bool)",
    "idClicked(int)": "buttonClicked(QAbstractButton*)",
    "valueChanged(QString)": "valueChanged(int)",
}
_PROPERTIES = {
    "text", "title", "value", "minimum", "maximum", "checked", "enabled", "visible", "toolTip", "collapsed",
    "currentText", "currentData", "currentIndex", "rowCount", "columnCount", "plainText", "placeholderText",
    "readOnly", "styleSheet", "windowTitle", "objectName", "width", "height", "size", "pos", "rect", "font",
    "sizeHint", "minimumSizeHint", "palette", "currentNodeID", "noneEnabled", "format", "orientation",
}  # fmt: skip


def keywords_of_constructors(node: ast.AST) -> Iterator[str]:
    """PythonQt's constructors take arguments by their place alone."""
    if isinstance(node, ast.Call) and node.keywords and _is_class(_chain(node.func)):
        yield f"{ast.unparse(node.func)} is made with keyword arguments"


def scoped_enums(node: ast.AST) -> Iterator[str]:
    """``qt.Qt.AlignRight``: PythonQt has an enum's values in the class that has the enum."""
    chain = _chain(node)
    if len(chain) == 4 and chain[0] in _LIBRARIES and all(part[:1].isupper() for part in chain[1:]):
        yield f"{'.'.join(chain)} names the enum: write {chain[0]}.{chain[1]}.{chain[3]}"


def one_qt_alone(node: ast.AST) -> Iterator[str]:
    """What Qt 5 or Qt 6 alone has, or PySide."""
    if isinstance(node, ast.Attribute) and node.attr in _NOT_IN_BOTH:
        yield f".{node.attr} is not in every Slicer: use {_NOT_IN_BOTH[node.attr]}"
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        names = [node.module or ""]
    for name in names:
        if name.partition(".")[0] in {"PySide2", "PySide6", "PyQt5", "PyQt6", "qtpy"}:
            yield f"{name} is not in Slicer: import qt"


def places_of_events(node: ast.AST) -> Iterator[str]:
    """Mouse and wheel events: ``position()`` is Qt 6 alone, ``pos()`` and ``x()`` may be Qt 5 alone.

    A function that looks which one there is, by ``hasattr``, may name both.
    """
    if not isinstance(node, ast.FunctionDef):
        return
    looks = {each.args[1].value for each in ast.walk(node) if _is_hasattr(each)}
    for each in ast.walk(node):
        if not (isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)):
            continue
        owner, name = ast.unparse(each.func.value), each.func.attr
        if owner == "event" and name in {"position", "pos", "x", "y", "delta"} and "position" not in looks:
            yield f"event.{name}() is not in every Slicer: look with hasattr(event, 'position')"


def called_properties(node: ast.AST) -> Iterator[str]:
    """``label.text()``: a property of a widget is an attribute."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args):
        return
    owner = _chain(node.func.value)
    of_a_widget = "ui" in owner[:-1] or (owner[-1:] and re.search(r"(?i)(widget|button|label)$", owner[-1]))
    if of_a_widget and node.func.attr in _PROPERTIES:
        yield f"{ast.unparse(node.func)} is a property: no parentheses"


def forms_of_signals(node: ast.AST) -> Iterator[str]:
    """``connect("clicked(bool)", f)``: types alone, without blanks, of a signal that both Qt have."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return
    if node.func.attr not in ("connect", "disconnect") or not node.args:
        return
    signature = node.args[0]
    if not (isinstance(signature, ast.Constant) and isinstance(signature.value, str)):
        return
    if not _SIGNATURE.fullmatch(signature.value):
        yield f'"{signature.value}" is no signature, such as "clicked(bool)"'
    elif signature.value in _SIGNALS_NOT_IN_BOTH:
        instead = _SIGNALS_NOT_IN_BOTH[signature.value]
        yield f'"{signature.value}" is not in every Slicer: use "{instead}"'


RULES: tuple[Rule, ...] = (
    keywords_of_constructors,
    scoped_enums,
    one_qt_alone,
    places_of_events,
    called_properties,
    forms_of_signals,
)


def problems(source: str, rules: tuple[Rule, ...] = RULES) -> list[str]:
    """What is wrong with a file, with the number of the line."""
    return sorted(
        {
            f"line {getattr(node, 'lineno', 0)}: {problem}"
            for node in ast.walk(ast.parse(source))
            for rule in rules
            for problem in rule(node)
        }
    )


def _chain(node: ast.AST) -> list[str]:
    """``a.b.c`` as its parts; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _is_class(chain: list[str]) -> bool:
    return len(chain) == 2 and chain[0] in _LIBRARIES and re.match(r"Q[A-Z]|ctk[A-Z]", chain[1]) is not None


def _is_hasattr(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "hasattr"
        and isinstance(node.args[1], ast.Constant)
    )

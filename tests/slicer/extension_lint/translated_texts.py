"""Rules for the words a reader sees: each goes through ``_``, in a form that Qt's lupdate can read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from extension_lint.pythonqt_manners import Rule

# Attributes and functions whose text is shown.
_SHOWN_ATTRIBUTES = {
    "text", "toolTip", "title", "windowTitle", "placeholderText", "statusTip", "whatsThis", "plainText",
    "specialValueText", "format", "labelText", "accessibleName", "informativeText",
}  # fmt: skip
_SHOWN_ARGUMENTS = {
    "setText", "setToolTip", "setTitle", "setWindowTitle", "setPlaceholderText", "setStatusTip", "setFormat",
    "setWhatsThis", "setPlainText", "setLabelText", "setSpecialValueText", "setAccessibleName", "showMessage",
    "setInformativeText", "setHorizontalHeaderLabels", "setVerticalHeaderLabels", "addItem", "drawText",
    "addTab", "setHtml", "addAction",
    # What the module itself makes of words for the reader.
    "ToUpload",
    "QLabel", "QPushButton", "QToolButton", "QCheckBox", "QRadioButton", "QGroupBox", "QAction", "QMenu",
    "QTableWidgetItem", "QListWidgetItem", "QTreeWidgetItem", "ctkCollapsibleButton",
    "infoDisplay", "warningDisplay", "errorDisplay", "confirmOkCancelDisplay", "confirmYesNoDisplay",
    "messageBox", "tryWithErrorDisplay", "showStatusMessage", "question", "information", "warning",
    "critical", "getText", "getItem", "getInt", "getOpenFileName", "getSaveFileName", "getExistingDirectory",
}  # fmt: skip
# Loggers have methods of the same names; their words are for developers.
_OF_A_LOG = {"_log", "logging", "log"}
_WORD = re.compile(r"[A-Za-z]{2}|n/a")


def words_without_translation(node: ast.AST) -> Iterator[str]:
    """A text in the code that is shown as it is."""
    shown: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        names = {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
        shown = [node.value] if names & _SHOWN_ATTRIBUTES else []
    elif isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        shown = node.args if name in _SHOWN_ARGUMENTS and owner not in _OF_A_LOG else []
    for each in shown:
        for text in _bare_texts(each):
            yield f"{text!r} is shown and not translated"


def arguments_of_translation(node: ast.AST) -> Iterator[str]:
    """``_("{n} of {m}").format(...)``: the argument is a plain text."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_"):
        return
    argument = node.args[0] if len(node.args) == 1 else None
    if isinstance(argument, ast.JoinedStr):
        yield "_() has an f-string: no translation has its text"
    elif not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
        yield f"_() needs one plain text: {ast.unparse(node)}"
    elif re.search(r"\{\d*\}", argument.value):
        yield f"{argument.value!r} has a placeholder without a name"


RULES: tuple[Rule, ...] = (words_without_translation, arguments_of_translation)


def _bare_texts(node: ast.AST) -> Iterator[str]:
    """Texts with words in them that no call stands around; a call answers for its own arguments."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _WORD.search(node.value):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        written = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
        if _WORD.search(written):
            yield written
    elif isinstance(node, (ast.IfExp, ast.BinOp, ast.BoolOp, ast.List, ast.Tuple)):
        for child in ast.iter_child_nodes(node):
            yield from _bare_texts(child)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        # "x {n}".format(n=1), ", ".join(["x"])
        yield from _bare_texts(node.func.value)

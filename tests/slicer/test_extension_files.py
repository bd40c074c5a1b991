"""The extension's files are what Slicer's build, its index and its loader of .ui files expect."""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
from extension_lint import index_entry
from extension_lint.cmake_lists import calls, differences, variables
from extension_lint.png import png_size
from extension_lint.ui_file import UiFile

EXTENSION = Path(__file__).resolve().parents[2] / "slicer_module"
MODULE = EXTENSION / "VPTCT"
UI_FILES = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
HOME = "https://raw.githubusercontent.com/vptct/vptct/main/"


def read(*parts: str) -> str:
    return EXTENSION.joinpath(*parts).read_text(encoding="utf-8")


def test_every_file_of_the_module_is_packaged() -> None:
    lists = variables(read("VPTCT", "CMakeLists.txt"))
    scripts = differences(lists["MODULE_PYTHON_SCRIPTS"], MODULE, ("*.py", "VPTCTLib/**/*.py"))
    resources = differences(lists["MODULE_PYTHON_RESOURCES"], MODULE, ("Resources/**/*",))
    assert scripts + resources == []


def test_the_module_is_built_and_tested_by_slicers_macros() -> None:
    text = read("VPTCT", "CMakeLists.txt")
    (built,) = calls(text, "slicerMacroBuildScriptedModule")
    assert built[::2] == ["NAME", "SCRIPTS", "RESOURCES", "WITH_GENERIC_TESTS"]
    assert built[1::2] == ["${MODULE_NAME}", "${MODULE_PYTHON_SCRIPTS}", "${MODULE_PYTHON_RESOURCES}"]
    assert calls(text, "slicer_add_python_unittest") == [["SCRIPT", "${MODULE_NAME}.py"]]
    assert calls(text, "add_subdirectory") == [["Testing"]]
    assert calls(read("VPTCT", "Testing", "CMakeLists.txt"), "add_subdirectory") == [["Python"]]


def test_every_test_for_the_real_application_is_run_by_ctest() -> None:
    folder = MODULE / "Testing" / "Python"
    run = calls(read("VPTCT", "Testing", "Python", "CMakeLists.txt"), "slicer_add_python_unittest")
    assert sorted(run) == sorted(["SCRIPT", path.name] for path in folder.glob("*.py"))


def test_the_extension_says_what_the_extensions_manager_shows() -> None:
    text = read("CMakeLists.txt")
    assert calls(text, "project") == [["VPTCT"]]
    assert calls(text, "add_subdirectory") == [["VPTCT"]]
    assert [words[0] for words in calls(text, "find_package")] == ["Slicer"]
    assert calls(text, "include") == [
        ["${Slicer_USE_FILE}"], ["${Slicer_EXTENSION_GENERATE_CONFIG}"], ["${Slicer_EXTENSION_CPACK}"],
    ]  # fmt: skip
    said = variables(text)
    for name in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "DEPENDS"):
        assert len(said[f"EXTENSION_{name}"]) == 1, name
        assert len(said[f"EXTENSION_{name}"][0]) > 1, name


def test_addresses_into_this_repository_name_files_that_exist() -> None:
    said = variables(read("CMakeLists.txt"))
    urls = " ".join(said["EXTENSION_ICONURL"] + said["EXTENSION_SCREENSHOTURLS"]).split()
    assert len(urls) > 1
    for url in urls:
        assert url.startswith(HOME)
        assert (EXTENSION.parent / url.removeprefix(HOME)).is_file(), url


def test_the_entry_for_slicers_index_keeps_its_schema() -> None:
    entry = json.loads(read("VPTCT.json"))
    assert index_entry.problems(entry) == []
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert [entry["category"]] == variables(read("CMakeLists.txt"))["EXTENSION_CATEGORY"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"category": None}, "category is no str"),
        ({"tier": 6}, "tier is not 1 to 5"),
        ({"tier": "1"}, "tier is no int"),
        ({"homepage": "https://example.org"}, "homepage is not of the schema"),
        ({"build_dependencies": [1]}, "build_dependencies are no texts"),
        ({"scm_url": ""}, "scm_url is empty"),
    ],
)
def test_an_entry_that_breaks_the_schema_is_found(change: dict[str, object], problem: str) -> None:
    entry = json.loads(read("VPTCT.json"))
    assert problem in index_entry.problems({**entry, **change})


def test_an_entry_that_lacks_what_is_required_is_found() -> None:
    assert index_entry.problems({}) == ["$schema is missing", "category is missing", "scm_url is missing"]


def test_the_extension_brings_its_licence() -> None:
    assert read("LICENSE") == (EXTENSION.parent / "LICENSE").read_text(encoding="utf-8")


def test_icons_have_the_size_that_slicer_asks_for() -> None:
    assert png_size(EXTENSION / "VPTCT.png") == (128, 128)
    assert png_size(MODULE / "Resources" / "Icons" / "VPTCT.png") == (128, 128)
    drawn = ElementTree.parse(MODULE / "Resources" / "Icons" / "VPTCT.svg").getroot()
    assert drawn.get("viewBox") == "0 0 128 128"


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_a_section_is_drawn_as_it_should_be(path: Path) -> None:
    assert UiFile(path).problems() == []


def test_labels_that_are_made_by_hand_are_made_in_one_place_which_makes_them_plain() -> None:
    makers = [
        path.name
        for path in (MODULE / "VPTCTLib").rglob("*.py")
        if re.search(r"\bQLabel\(", path.read_text(encoding="utf-8"))
    ]
    assert makers == ["plain_text.py"]


def test_no_two_things_in_the_panel_have_the_same_key() -> None:
    letters = Counter(letter for path in UI_FILES for letter in UiFile(path).mnemonics())
    assert [letter for letter, count in letters.items() if count > 1] == []


def test_every_section_has_its_drawing_and_every_drawing_its_section() -> None:
    named = {"VPTCT"}  # of the panel itself
    for path in (MODULE / "VPTCTLib" / "panel").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and "Section" in {ast.unparse(base) for base in node.bases}:
                named |= {
                    each.value.value
                    for each in node.body
                    if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "name"
                }
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= set(re.findall(r"^UI/(\w+)\.ui$", node.value))
    assert named == {path.stem for path in UI_FILES}


def test_what_is_wrong_with_the_lists_of_files_is_found(tmp_path: Path) -> None:
    (tmp_path / "Lib" / "deep").mkdir(parents=True)
    for name in ("A.py", "Lib/__init__.py", "Lib/deep/b.py"):
        (tmp_path / name).touch()
    text = """
    set(NAME Lib) # a comment (with brackets)
    set(FILES
      A.py  # and "quotes"
      ${NAME}/__init__.py
      ${NAME}/__init__.py
      gone.py
      )
    """
    assert variables(text)["FILES"] == ["A.py", "Lib/__init__.py", "Lib/__init__.py", "gone.py"]
    assert differences(variables(text)["FILES"], tmp_path, ("*.py", "Lib/**/*.py")) == [
        "Lib/deep/b.py is not listed: it would not be packaged",
        "gone.py is listed and does not exist",
        "Lib/__init__.py is listed twice",
    ]


GOOD_UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Toy</class>
 <widget class="qMRMLWidget" name="Toy">
  <layout class="QVBoxLayout" name="column">
   <item>
    <widget class="QLabel" name="label">
     <property name="text"><string>&amp;Volume:</string></property>
     <property name="buddy"><cstring>selector</cstring></property>
    </widget>
   </item>
   <item>
    <widget class="qMRMLNodeComboBox" name="selector">
     <property name="toolTip"><string>The volume to read.</string></property>
    </widget>
   </item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class></customwidget>
 </customwidgets>
 <tabstops><tabstop>selector</tabstop></tabstops>
 <connections>
  <connection>
   <sender>Toy</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>selector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
  </connection>
 </connections>
</ui>
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("<string>The volume to read.</string>", "<string/>", "selector has no tool tip"),
        ('name="label"', 'name="selector"', "2 things are named selector"),
        ("<tabstop>selector", "<tabstop>gone", "the tab order names gone, which does not exist"),
        ("<cstring>selector", "<cstring>gone", "label has the buddy gone, which does not exist"),
        ("<cstring>selector", "<cstring>Toy2", "label has the buddy Toy2, which does not exist"),
        ("<receiver>selector", "<receiver>other", "selector is not told of the scene"),
        ("<class>qMRMLNodeComboBox", "<class>ctkX", "qMRMLNodeComboBox is not declared as a custom widget"),
        ("<class>qMRMLNodeComboBox", "<class>ctkX", "ctkX is declared and not used"),
        (
            '<property name="toolTip">',
            '<property name="focusPolicy"><enum>Qt::FocusPolicy::StrongFocus</enum></property>'
            '<property name="toolTip">',
            "Qt::FocusPolicy::StrongFocus is written as Qt 6 does",
        ),
        ('"buddy"', '"other"', "label has a mnemonic and no buddy"),
        ("<class>Toy", "<class>Other", "do not have the same name"),
        ('class="qMRMLWidget"', 'class="QWidget"', "no qMRMLWidget"),
        (
            '<property name="toolTip">',
            '<property name="icon"><iconset><normaloff>../Icons/gone.png</normaloff></iconset></property>'
            '<property name="toolTip">',
            "the icon ../Icons/gone.png does not exist",
        ),
        ("<string>&amp;Volume:</string>", "<string/>", "label would take the words that it gets for markup"),
    ],
)
def test_a_fault_in_a_drawing_is_found(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "Toy.ui"
    path.write_text(GOOD_UI, encoding="utf-8")
    assert UiFile(path).problems() == []
    assert old in GOOD_UI
    path.write_text(GOOD_UI.replace(old, new), encoding="utf-8")
    assert problem in "\n".join(UiFile(path).problems())


def test_keys_are_read_from_texts_but_not_from_ampersands_that_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "Toy.ui"
    path.write_text(GOOD_UI.replace("The volume", "&amp;The").replace("&amp;Volume:", "A &amp;&amp; &amp;B"))
    assert UiFile(path).mnemonics() == ["b"]

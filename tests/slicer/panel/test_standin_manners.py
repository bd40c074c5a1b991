"""The stand-in keeps the manners of PythonQt, and catches errors that Qt and VTK swallow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest


@pytest.fixture
def button(window: Any) -> Any:
    import qt

    return qt.QPushButton("Classify")


def test_a_property_is_an_attribute(button: Any) -> None:
    button.text = "Cancel"
    button.enabled = False
    assert (button.text, button.enabled) == ("Cancel", False)
    with pytest.raises(TypeError):
        button.text()


def test_a_property_refuses_what_it_cannot_be(button: Any) -> None:
    with pytest.raises(ValueError, match="iconSize"):
        button.iconSize = "large"
    with pytest.raises(AttributeError, match="cannot be set"):
        button.width = 5


def test_an_attribute_that_qt_does_not_have_cannot_be_set(button: Any) -> None:
    with pytest.raises(AttributeError, match="tooltip"):
        button.tooltip = "Asks the server."


def test_a_signal_that_does_not_exist_is_refused(button: Any) -> None:
    with pytest.raises(RuntimeError, match="no signal"):
        button.connect("clickd(bool)", print)
    with pytest.raises(RuntimeError, match="parentheses"):
        button.connect("clicked", print)


@pytest.mark.parametrize(("signature", "given"), [("clicked()", ()), ("clicked(bool)", (False,))])
def test_a_slot_gets_the_arguments_of_the_signature(
    button: Any, signature: str, given: tuple[bool, ...]
) -> None:
    got = []
    button.connect(signature, lambda *arguments: got.append(arguments))
    button.click()
    assert got == [given]


def test_a_slot_gets_no_more_than_it_takes(button: Any) -> None:
    got = []
    button.connect("clicked(bool)", lambda: got.append("clicked"))
    button.click()
    assert got == ["clicked"]


def test_a_partial_gets_all_arguments_of_the_signature(button: Any) -> None:
    got: list[tuple[str, bool]] = []
    button.connect("clicked(bool)", partial(lambda name, checked: got.append((name, checked)), "pe"))
    button.click()
    assert got == [("pe", False)]


def test_what_is_disconnected_is_not_called(button: Any) -> None:
    got: list[bool] = []
    assert button.connect("clicked(bool)", got.append)
    assert button.disconnect("clicked(bool)", got.append)
    assert not button.disconnect("clicked(bool)", got.append)
    button.click()
    assert got == []


def test_constructors_take_no_keywords(window: Any) -> None:
    import qt

    with pytest.raises(TypeError, match="keyword"):
        qt.QLabel(text="Server")


def test_enums_are_numbers(window: Any) -> None:
    import qt

    assert int(qt.Qt.AlignRight) == 2
    assert qt.QMessageBox.Yes == 0x4000


def test_qt_has_no_signals_of_python(window: Any) -> None:
    import qt

    assert [name for name in ("Signal", "Slot", "Property") if hasattr(qt, name)] == []


def fail(*arguments: Any) -> None:
    raise ZeroDivisionError("in a callback")


def in_a_slot(button: Any) -> None:
    button.connect("clicked(bool)", fail)
    button.click()


def in_a_timer(button: Any) -> None:
    import qt
    from standin.waiting import let_events_go_on

    qt.QTimer.singleShot(0, fail)
    let_events_go_on(0.02)


def in_an_observer_of_the_scene(button: Any) -> None:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    node.AddObserver("ModifiedEvent", fail)
    node.Modified()


@pytest.mark.parametrize("swallowed", [in_a_slot, in_a_timer, in_an_observer_of_the_scene])
def test_an_error_that_is_swallowed_is_caught(
    button: Any, swallowed: Callable[[Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    from standin.slot_errors import no_swallowed_errors

    with pytest.raises(AssertionError, match="in a callback"), no_swallowed_errors():
        swallowed(button)


def test_an_error_in_an_event_filter_is_caught(button: Any) -> None:
    import qt
    from standin.slot_errors import no_swallowed_errors
    from standin.waiting import let_events_go_on

    class Filter(qt.QObject):
        def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
            watched.removeEventFilter(self)
            raise ZeroDivisionError("in a filter")

    watch = Filter()
    button.installEventFilter(watch)
    qt.QCoreApplication.postEvent(button, qt.QEvent(qt.QEvent.UpdateRequest))
    # Where Python called Qt it comes out there; where Qt called by itself it is printed.
    with pytest.raises((AssertionError, ZeroDivisionError), match="in a filter"), no_swallowed_errors():
        let_events_go_on(0.02)

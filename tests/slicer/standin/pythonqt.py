"""The manners of PythonQt on top of PySide6's classes.

In Slicer a Qt property is an attribute (``label.text = "x"``), ``connect`` takes a signal's C++ signature and
a function of as many arguments as it likes, and an attribute that does not exist cannot be set. PySide6 has
methods, signal objects and any attribute: what runs by the manners of the one fails by those of the other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

# Virtual functions, for which PySide6 would take the attribute for an override and call it for ever.
_STAY_METHODS = {"sizeHint", "minimumSizeHint", "duration"}


class AttributeOfProperty:
    """A Qt property as an attribute; from the class it stays what it was, as ``QTimer.singleShot`` must."""

    def __init__(self, name: str, original: Any, writable: bool) -> None:
        self._name, self._original, self._writable = name, original, writable

    def __get__(self, obj: QtCore.QObject | None, owner: type | None = None) -> Any:
        return self._original if obj is None else obj.property(self._name)

    def __set__(self, obj: QtCore.QObject, value: Any) -> None:
        if not self._writable:
            raise AttributeError(f"{type(obj).__name__}.{self._name} cannot be set")
        if not obj.setProperty(self._name, value):
            raise ValueError(f"{type(obj).__name__}.{self._name} cannot be {value!r}")


def properties_as_attributes(cls: type[QtCore.QObject]) -> None:
    """Make an attribute of each Qt property that this class declares itself."""
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        prop = meta.property(index)
        if prop.name() in _STAY_METHODS:
            continue
        original = getattr(cls, prop.name(), None)
        setattr(cls, prop.name(), AttributeOfProperty(prop.name(), original, prop.isWritable()))


class PythonQtObject:
    """Mixed into the classes of Qt that code in Slicer makes itself."""

    # Signals with an argument of VTK's, which Qt here knows as any Python object: their C++ signatures.
    scene_signals: tuple[str, ...] = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # PySide6 finds its own connect() before that of a base class, but not before that of the class.
        cls.connect, cls.disconnect = PythonQtObject.connect, PythonQtObject.disconnect

    def connect(self, signature: str, receiver: Any, slot: str = "") -> bool:
        """Call a function, or a receiver's slot by its signature, when the signal of this signature comes."""
        call = getattr(receiver, slot.partition("(")[0]) if slot else receiver
        wrapped = _with_fewer_arguments(call, _arguments(signature))
        _signal(self, signature).connect(wrapped)
        self.__dict__.setdefault("_connections", []).append((signature, call, wrapped))
        return True

    def disconnect(self, signature: str, receiver: Any = None, slot: str = "") -> bool:
        """Undo :meth:`connect`; without a receiver, all of this signature."""
        call = getattr(receiver, slot.partition("(")[0]) if slot else receiver
        connections = self.__dict__.setdefault("_connections", [])
        ended = [link for link in connections if link[0] == signature and call in (None, link[1])]
        for link in ended:
            _signal(self, signature).disconnect(link[2])
            connections.remove(link)
        return bool(ended)

    def __setattr__(self, name: str, value: Any) -> None:
        # PythonQt: new attributes are for classes that Python code derives, not for Qt's own.
        of_qt = type(self).__module__ in ("qt", "ctk")
        if of_qt and not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        super().__setattr__(name, value)


def with_manners(cls: type[QtCore.QObject], module: str = "qt") -> type[QtCore.QObject]:
    """A class of the same name that is made, connected and set as PythonQt does it."""

    def refuse_keywords(self: Any, *args: Any, **keywords: Any) -> None:
        if keywords and type(self) is made:
            raise TypeError(f"{cls.__name__}() takes no keyword arguments in Slicer: {sorted(keywords)}")
        cls.__init__(self, *args, **keywords)

    made = type(cls.__name__, (PythonQtObject, cls), {"__module__": module, "__init__": refuse_keywords})
    return made


def _arguments(signature: str) -> list[str]:
    inside = signature.partition("(")[2].rstrip(") ")
    return [argument.strip() for argument in inside.split(",") if argument.strip()]


def _signal(obj: Any, signature: str) -> Any:
    """The signal of this C++ signature.

    Raises:
        RuntimeError: this object has no such signal. Slicer only prints a warning and never calls.
    """
    name, arguments = signature.partition("(")[0].strip(), _arguments(signature)
    if "(" not in signature:
        raise RuntimeError(f"{signature} is no signature: its parentheses are missing")
    if signature in obj.scene_signals:
        return getattr(obj, name)
    normal = QtCore.QMetaObject.normalizedSignature(signature).data().decode()
    if obj.metaObject().indexOfSignal(normal) < 0:
        raise RuntimeError(f"{obj.metaObject().className()} has no signal {signature}")
    signal = getattr(obj, name)
    try:
        return signal[",".join(arguments)] if arguments else signal
    except (KeyError, IndexError, TypeError):
        return signal  # it has one form alone


def _with_fewer_arguments(call: Callable[..., Any], arguments: list[str]) -> Callable[..., Any]:
    """PythonQt drops the arguments that the signature does not name or that a function does not take.

    What is called otherwise, such as a ``functools.partial``, gets all of the signature.
    """
    taken = len(arguments)
    if inspect.isfunction(call) or inspect.ismethod(call):
        code = call.__code__
        if not code.co_flags & inspect.CO_VARARGS:
            taken = min(taken, code.co_argcount - inspect.ismethod(call))
    return lambda *given: call(*given[:taken])

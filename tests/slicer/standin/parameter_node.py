"""``slicer.parameterNodeWrapper``: typed attributes that a node of the scene keeps.

Texts, numbers, truth values and nodes; Slicer's knows more kinds, and can tie them to widgets.
"""

from __future__ import annotations

import typing
from typing import Any

import slicer

_PLAIN = (str, bool, int, float)


class _Parameter:
    """One attribute."""

    def __init__(self, name: str, kind: type, default: Any) -> None:
        self._name, self._kind, self.default = name, kind, default
        self._is_node = issubclass(kind, slicer.vtkMRMLNode)
        if not self._is_node and kind not in _PLAIN:
            raise TypeError(f"{name}: the stand-in keeps no {kind}")

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        if wrapper is None:
            return self
        node = wrapper.parameterNode
        if self._is_node:
            return node.GetNodeReference(self._name)
        text = node.GetParameter(self._name)
        return text == "True" if self._kind is bool else self._kind(text)

    def __set__(self, wrapper: Any, value: Any) -> None:
        if value is not None and not isinstance(value, self._kind):
            raise TypeError(f"{self._name} is a {self._kind.__name__}, not {value!r}")
        node = wrapper.parameterNode
        if self._is_node:
            node.SetNodeReferenceID(self._name, value.GetID() if value is not None else None)
        elif value is None:
            raise TypeError(f"{self._name} is a {self._kind.__name__}, not None")
        else:
            node.SetParameter(self._name, str(value))

    def is_in(self, node: Any) -> bool:
        return self._is_node or bool(node.HasParameter(self._name))


def parameterNodeWrapper(cls: type) -> type:
    """Make the annotated attributes of a class those of the node that it is made with."""
    kinds = typing.get_type_hints(cls)
    plain_defaults = {name: kind() for name, kind in kinds.items() if kind in _PLAIN}
    parameters = {
        name: _Parameter(name, kind, getattr(cls, name, plain_defaults.get(name)))
        for name, kind in kinds.items()
    }

    def start(self: Any, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        for name, parameter in parameters.items():
            if not parameter.is_in(parameterNode):
                setattr(self, name, parameter.default)

    for name, parameter in parameters.items():
        setattr(cls, name, parameter)
    cls.__init__ = start
    cls.allParameters = parameters
    # What Slicer's wrapper hands on to the node.
    for name in ("AddObserver", "RemoveObserver", "StartModify", "EndModify", "Modified"):
        setattr(cls, name, _handed_on(name))
    return cls


def _handed_on(name: str) -> Any:
    return lambda self, *arguments: getattr(self.parameterNode, name)(*arguments)

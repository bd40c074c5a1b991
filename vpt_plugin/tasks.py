"""Tasks: a named set of findings with its HU window, clip rule and aggregation.

The two tasks of the paper live in ``TASKS``; a site's own task comes from a YAML file (``load_task_file``).
Nothing about a task is written down anywhere else.

Source of the facts: Ke et al., Video Pretraining Advances 3D Deep Learning on Chest CT Tasks, PMLR 227
(2023), and its public code (rajpurkarlab/chest-ct-pretraining).
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from vpt_plugin.errors import TaskFileError, UnknownTaskError

AGGREGATIONS = ("max", "mean", "top3_mean")
THRESHOLD_RULES: MappingProxyType[str, str] = MappingProxyType(
    {
        "youden": "the highest sensitivity + specificity",
        "sensitivity:0.95": "the best specificity at that sensitivity, any above 0 and up to 1",
    }
)
# What blood must look like for the findings to be seen, and what it means.
CONTRAST_PHASES: MappingProxyType[str, str] = MappingProxyType(
    {
        "any": "with or without contrast medium",
        "pulmonary_arterial": "contrast medium in the pulmonary arteries",
    }
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def is_name(text: str) -> bool:
    """Whether a task or a finding may be called so: names are parts of file names and addresses."""
    return _NAME.fullmatch(text) is not None


def target_sensitivity(rule: str) -> float | None:
    """The sensitivity that a threshold rule asks for: 0.95 of ``sensitivity:0.95``; None of ``youden``.

    Raises:
        ValueError: no such rule; names those there are.
    """
    kind, _, number = rule.partition(":")
    if rule == "youden":
        return None
    try:
        target = float(number)
    except ValueError:
        target = math.nan
    if kind == "sensitivity" and 0 < target <= 1:
        return target
    choices = "; ".join(f"{name} ({meaning})" for name, meaning in THRESHOLD_RULES.items())
    raise ValueError(f"unknown threshold rule {rule!r}; choose from {choices}")


@dataclass(frozen=True)
class HUWindow:
    """An intensity range in Hounsfield units, by centre and width."""

    centre: float
    width: float

    @property
    def low(self) -> float:
        """Lower end in HU; it becomes 0."""
        return self.centre - self.width / 2

    @property
    def high(self) -> float:
        """Upper end in HU; it becomes 1."""
        return self.centre + self.width / 2


@dataclass(frozen=True)
class ClipRule:
    """How a study is cut into clips.

    Attributes:
        length_slices: slices per clip; None takes the network's own (32; 24 for PENet).
        stride_slices: from the start of one clip to the next; None takes three quarters of the length
            (24 of 32, as in the paper). Never more than the length, so that no slice is skipped.
        min_positive_slices: a clip is positive when at least this many of its slices are.
    """

    length_slices: int | None = None
    stride_slices: int | None = None
    min_positive_slices: int = 4

    def length(self, network_slices: int) -> int:
        """Slices per clip for a network that by itself takes ``network_slices``."""
        return self.length_slices or network_slices

    def stride(self, network_slices: int) -> int:
        """Slices from the start of one clip to the start of the next."""
        length = self.length(network_slices)
        return min(self.stride_slices or max(1, length * 3 // 4), length)

    def min_slices(self, network_slices: int) -> int:
        """Slices a study needs at least: half a clip, or most of what the network sees would be made up."""
        return -(-self.length(network_slices) // 2)

    def contradiction(self) -> tuple[str, str]:
        """The field that does not go with ``length_slices``, and why; two empty texts where all is well."""
        for name in ("stride_slices", "min_positive_slices"):
            value = getattr(self, name)
            if self.length_slices and value and value > self.length_slices:
                return (
                    name,
                    f"{name} must be at most length_slices, which is {self.length_slices}, not {value}",
                )
        return "", ""


@dataclass(frozen=True)
class FindingCode:
    """What a terminology calls a finding, for reports that other systems read.

    Attributes:
        finding: the finding's name in the task.
        scheme: the terminology as DICOM names it (PS3.16, 8): ``SCT`` (SNOMED CT), ``RADLEX``, ``LN``
            (LOINC), or one of the site's own, which begins with ``99``.
        value: the code.
        meaning: the code's own words.
    """

    finding: str
    scheme: str
    value: str
    meaning: str

    def __post_init__(self) -> None:
        # What a DICOM code sequence has room for (PS3.5, 6.2: SH and LO), and what would end a value there.
        for name, longest in (("scheme", 16), ("value", 16), ("meaning", 64)):
            text = getattr(self, name)
            if not text.strip() or len(text) > longest or "\\" in text or not text.isprintable():
                raise ValueError(f"{name} must be a text of 1 to {longest} letters without \\, not {text!r}")


@dataclass(frozen=True)
class ReadingTask:
    """A named set of findings and how a study is read for them.

    Attributes:
        name: short name, used in file names and addresses: ``pe``.
        title: for people: ``Pulmonary embolism``.
        findings: what may be present, in the order of the network's outputs.
        hu_window: the intensity range shown to the network, scaled to [0, 1].
        offset: subtracted after scaling (the paper's zero-centring).
        clips: how the study is cut.
        aggregation: how clip probabilities become the study's: one of ``AGGREGATIONS``.
        threshold_rule: how a training chooses from which probability on a finding counts as present: a key of
            ``THRESHOLD_RULES``, with any target sensitivity.
        contrast_phase: what a study must have been taken with for the findings to be seen: one of
            ``CONTRAST_PHASES``.
        codes: what terminologies call the findings. Of several for one finding the first is the one to use,
            the others mean the same. A finding without one is coded as VPTCT's own; one of a finding that
            the task has not is not used.
    """

    name: str
    title: str
    findings: tuple[str, ...]
    hu_window: HUWindow
    offset: float = 0.0
    clips: ClipRule = ClipRule()
    aggregation: str = "max"
    threshold_rule: str = "youden"
    contrast_phase: str = "any"
    codes: tuple[FindingCode, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.name, *self.findings):
            if not is_name(name):
                raise ValueError(f"{name!r} is no name: use a-z, 0-9 and _, beginning with a letter")
        if not self.findings or len(set(self.findings)) != len(self.findings):
            raise ValueError("a task needs at least one finding, and each only once")
        if not self.hu_window.width > 0:
            raise ValueError(f"the width of an HU window must be above 0, not {self.hu_window.width}")
        if self.aggregation not in AGGREGATIONS:
            raise ValueError(
                f"unknown aggregation {self.aggregation!r}; choose from {', '.join(AGGREGATIONS)}"
            )
        target_sensitivity(self.threshold_rule)
        if self.contrast_phase not in CONTRAST_PHASES:
            raise ValueError(
                f"unknown contrast phase {self.contrast_phase!r}; choose from {', '.join(CONTRAST_PHASES)}"
            )
        for field_name in ("length_slices", "stride_slices", "min_positive_slices"):
            value = getattr(self.clips, field_name)
            if value is not None and value < 1:
                raise ValueError(f"{field_name} must be at least 1, not {value}")
        if problem := self.clips.contradiction()[1]:
            raise ValueError(problem)


TASKS: MappingProxyType[str, ReadingTask] = MappingProxyType(
    {
        task.name: task
        for task in (
            ReadingTask(
                name="pe",
                title="Pulmonary embolism",
                findings=("pulmonary_embolism",),
                hu_window=HUWindow(centre=400, width=1000),
                offset=0.15897,
                contrast_phase="pulmonary_arterial",
                codes=(
                    FindingCode("pulmonary_embolism", "SCT", "59282003", "Pulmonary embolism"),
                    FindingCode("pulmonary_embolism", "RADLEX", "RID4834", "pulmonary embolism"),
                ),
            ),
            ReadingTask(
                name="nodule",
                title="Lung nodule",
                findings=("lung_nodule",),
                hu_window=HUWindow(centre=-600, width=1500),
                codes=(
                    FindingCode("lung_nodule", "SCT", "786838002", "Nodule of lung"),
                    FindingCode("lung_nodule", "RADLEX", "RID50149", "pulmonary nodule"),
                ),
            ),
        )
    }
)


def get_task(name: str, extra: tuple[ReadingTask, ...] = ()) -> ReadingTask:
    """The task of that name, from the built-in ones and ``extra``.

    Raises:
        UnknownTaskError: names the tasks there are.
    """
    known = {**TASKS, **{task.name: task for task in extra}}
    if name not in known:
        raise UnknownTaskError(name, list(known))
    return known[name]


def load_task_file(path: Path) -> ReadingTask:
    """A site's own task from a YAML file.

    The fields are those of ``ReadingTask``; ``hu_window`` and ``clips`` are nested. Unknown fields raise.

    Raises:
        TaskFileError: names the file, the line and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise TaskFileError(f"{path}: cannot be read: {error}.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise TaskFileError(f"{path}, line {line}: is not YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise TaskFileError(f"{path}: is not YAML: {error}.") from error
    return _TaskFile(path).task(root)


def task_file_text(task: ReadingTask) -> str:
    """The YAML of a task file, from which ``load_task_file`` makes the same task."""
    fields_of = asdict(task) | {"findings": list(task.findings)}
    return yaml.safe_dump(_without_none(fields_of), sort_keys=False, allow_unicode=True)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """None is what a field has that is not in the file."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if value is not None
    }


def _try_field(kind: type, name: str, value: Any) -> None:
    """Put one value of a task file into a task that is otherwise sound, so that the error has its line."""
    sound = TASKS["nodule"]
    if kind is HUWindow:
        replace(sound, hu_window=replace(sound.hu_window, **{name: value}))
    elif kind is FindingCode:
        FindingCode(**{"finding": "any", "scheme": "SCT", "value": "1", "meaning": "any", name: value})
    elif name == "codes":
        pass  # of which findings they are can only be seen when all fields are there
    elif kind is ClipRule:
        # Alone, no field contradicts another; together they are looked at when all are there.
        replace(sound, clips=ClipRule(**{"min_positive_slices": 1, name: value}))
    elif name == "name" and value in TASKS:
        raise ValueError(f"{value} is a built-in task; take another name")
    else:
        replace(sound, **{name: value})


class _TaskFile:
    """Turns YAML nodes into a task, keeping the line of every field for the messages."""

    _TYPES = {  # noqa: RUF012  a constant
        "name": str, "title": str, "findings": list, "offset": float, "aggregation": str,
        "threshold_rule": str, "contrast_phase": str,
        "hu_window": HUWindow, "clips": ClipRule, "codes": FindingCode,
        "finding": str, "scheme": str, "value": str, "meaning": str,
        "centre": float, "width": float,
        "length_slices": int, "stride_slices": int, "min_positive_slices": int,
    }  # fmt: skip

    def __init__(self, path: Path) -> None:
        self.path = path

    def task(self, root: yaml.Node | None) -> ReadingTask:
        if root is None:
            raise TaskFileError(f"{self.path}, line 1: the file is empty.", self._fields_hint(ReadingTask))
        values = self._mapping(root, ReadingTask, "")
        for name in ("name", "findings", "hu_window"):
            if name not in values:
                raise self._error(root, name, "is missing", ReadingTask)
        values.setdefault("title", str(values["name"]).replace("_", " ").capitalize())
        for code in values.get("codes", ()):
            if code.finding not in values["findings"]:
                known = ", ".join(values["findings"])
                raise self._error(root, "codes", f"has one of {code.finding!r}, not of {known}", None)
        return ReadingTask(**values)

    def _mapping(self, node: yaml.Node, kind: type, at: str) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, at.rstrip(".") or "the file", "must be a set of fields", kind)
        known = {field.name for field in fields(kind)}
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(key_node, at.rstrip(".") or "the file", "has a key that is no name", kind)
            key = str(key_node.value)
            if key not in known:
                raise self._error(key_node, f"{at}{key}", "is not a known field", kind)
            if key in values:
                raise self._error(key_node, f"{at}{key}", "is there twice", kind)
            values[key] = self._value(value_node, key, f"{at}{key}")
            try:
                _try_field(kind, key, values[key])
            except ValueError as error:
                raise self._error(value_node, f"{at}{key}", f"cannot be used: {error}", None) from error
        return values

    def _value(self, node: yaml.Node, key: str, at: str) -> Any:
        wanted = self._TYPES[key]
        if wanted is FindingCode:
            return self._codes(node, at)
        if wanted in (HUWindow, ClipRule):
            values = self._mapping(node, wanted, f"{at}.")
            try:
                rule = wanted(**values)
            except TypeError as error:
                raise self._error(node, at, f"is incomplete ({error})", wanted) from error
            if isinstance(rule, ClipRule):
                self._check_clips(node, rule, at)
            return rule
        try:
            value = yaml.SafeLoader("").construct_object(node, deep=True)
        except yaml.MarkedYAMLError as error:
            raise self._error(node, at, f"cannot be used: {error.problem}", None) from error
        except ValueError as error:  # a date like 2026-99-99
            raise self._error(node, at, f"cannot be used: {error}", None) from error
        if wanted is list and isinstance(value, list) and all(isinstance(v, str) for v in value):
            return tuple(value)
        if isinstance(value, bool):
            pass  # a bool is an int to Python, but `yes` is no number
        elif wanted is float and isinstance(value, (int, float)) and math.isfinite(value):
            return float(value)
        elif wanted in (int, str) and isinstance(value, wanted):
            return value
        names = {list: "a list of names", float: "a number", int: "a whole number", str: "a text"}
        raise self._error(node, at, f"must be {names[wanted]}, not {value!r}", None)

    def _codes(self, node: yaml.Node, at: str) -> tuple[FindingCode, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, at, "must be a list", FindingCode)
        codes = []
        for each in node.value:
            values = self._mapping(each, FindingCode, f"{at}.")
            try:
                codes.append(FindingCode(**values))
            except TypeError as error:
                raise self._error(each, at, f"is incomplete ({error})", FindingCode) from error
        return tuple(codes)

    def _check_clips(self, node: yaml.Node, rule: ClipRule, at: str) -> None:
        name, problem = rule.contradiction()
        if problem:
            # A default may be what does not go with the length: then the length is pointed at.
            nodes = {key.value: value for key, value in node.value}
            name = name if name in nodes else "length_slices"
            raise self._error(nodes[name], f"{at}.{name}", f"cannot be used: {problem}", None)

    def _error(self, node: yaml.Node, field_name: str, problem: str, kind: type | None) -> TaskFileError:
        hint = self._fields_hint(kind) if kind else ""
        return TaskFileError(f"{self.path}, line {node.start_mark.line + 1}: {field_name} {problem}.", hint)

    @staticmethod
    def _fields_hint(kind: type) -> str:
        return f"Fields: {', '.join(field.name for field in fields(kind))}."

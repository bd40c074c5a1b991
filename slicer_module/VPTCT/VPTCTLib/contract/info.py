"""ServerInfo: what a server can do (``vptct.info/1``): the only source of tasks, models and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .estimate import Estimate, read_estimates
from .fields import Fields
from .training import TrainingState, read_trainings
from .worklist import Worklists, read_worklists

SCHEMA = "vptct.info/1"


@dataclass(frozen=True)
class StudiesState:
    """Whether the server can read its studies.

    Attributes:
        kind: ``folder``, or ``archive`` for a DICOM archive, whose studies are named by series UIDs.
        reachable: at the last look.
        problem: what is wrong; "" where nothing is.
    """

    kind: str
    reachable: bool
    problem: str


@dataclass(frozen=True)
class StudyNeeds:
    """The smallest form of a study that the server answers as the study itself.

    A client may make slices smaller first, to squares of ``pixels`` by the mean over an area, and cut values
    to the range of HU then, in this order. Slices are those from feet to head.

    Attributes:
        hu_low, hu_high: values below and above count as these.
        pixels: the server makes slices this large by itself; None where it takes them as they are.
    """

    hu_low: float
    hu_high: float
    pixels: int | None


@dataclass(frozen=True)
class Uploads:
    """What an upload may be.

    Attributes:
        max_bytes: of one request.
        sessions: whether a study may be uploaded once for several requests.
        session_minutes: how long it is kept after its last use; None without sessions.
        add_studies: whether it may also become a study of the server, to be labelled there.
        forms: how a study may be packed, beside files of the usual formats; none on an older server.
    """

    max_bytes: int
    sessions: bool
    session_minutes: float | None
    add_studies: bool = False
    forms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Features:
    """What an answer can have beside its probabilities.

    Attributes:
        explain: where in the study it comes from.
        report: ``off``; ``file`` or ``archive``, into which the server writes structured reports.
    """

    explain: bool
    report: str


_NO_FEATURES = Features(explain=False, report="off")


@dataclass(frozen=True)
class Inference:
    """How many studies the server classifies at the moment, and how many wait for their turn.

    Who asks now comes after all of them.
    """

    running: int
    waiting: int


@dataclass(frozen=True)
class TaskInfo:
    """A task.

    Attributes:
        name: in requests, such as ``pe``.
        title: for people.
        findings: their names.
        hu_centre, hu_width: the HU window in which the network looks, and a reader should.
        labels: how many studies have each state.
        needs: what an upload must hold; None where an older server does not tell.
    """

    name: str
    title: str
    findings: tuple[str, ...]
    hu_centre: float
    hu_width: float
    labels: Mapping[str, int]
    needs: StudyNeeds | None = None

    def needs_of(self, model: ModelInfo) -> StudyNeeds | None:
        """What an upload must hold that only this network is asked about: slices of its own size."""
        if self.needs is None or model.pixels is None:
            return self.needs
        return replace(self.needs, pixels=model.pixels)


@dataclass(frozen=True)
class ModelInfo:
    """A network for a task. What an untrained one cannot tell is None.

    Attributes:
        name: in requests, ``<task>_<network>``.
        task, network: the two apart.
        title: for people.
        trained: whether it answers.
        problem: why not, where that is not only for want of a training.
        version: that is served.
        pretraining: where its weights began.
        trained_on: studies.
        synthetic: whether those were phantoms.
        calibrated: whether its probabilities were fitted.
        thresholds: by finding; None for one that has none.
        validation_auroc: by finding.
        settings: of a training, those that have a default; {} where the server does not train it.
        pixels: the server makes slices this large for it; None where an older server does not tell.
    """

    name: str
    task: str
    network: str
    title: str
    trained: bool
    problem: str | None
    version: int | None
    pretraining: str | None
    trained_on: int | None
    synthetic: bool | None
    calibrated: bool | None
    thresholds: Mapping[str, float | None] | None
    validation_auroc: Mapping[str, Estimate] | None
    settings: Mapping[str, Any]
    pixels: int | None = None


@dataclass(frozen=True)
class ServerInfo:
    """What a server can do.

    Attributes:
        version: of the server's code.
        notice: to be shown: what it is not for.
        studies: whether they can be read.
        tasks, models: what is served.
        trainings: what runs.
        worklists: what is known of the next studies.
        server_id: the same under every address of the server; "" where it tells none.
        uploads: what they may be; None where an older server does not tell.
        inference: who is being answered; None where an older server does not tell.
        features: what it can; an older server can nothing of it.
    """

    version: str
    notice: str
    studies: StudiesState
    tasks: tuple[TaskInfo, ...]
    models: tuple[ModelInfo, ...]
    trainings: TrainingState
    worklists: Worklists
    server_id: str = ""
    uploads: Uploads | None = None
    inference: Inference | None = None
    features: Features = _NO_FEATURES

    def task(self, name: str) -> TaskInfo | None:
        """The task of that name; None where it is not served."""
        return next((each for each in self.tasks if each.name == name), None)

    def models_of(self, task: str) -> tuple[ModelInfo, ...]:
        """The networks for a task."""
        return tuple(each for each in self.models if each.task == task)


def read_info(data: object) -> ServerInfo:
    """The answer of ``GET /info/``.

    Raises:
        ContractError: it is not as agreed.
    """
    whole = Fields(data, "the info")
    fields = Fields.of_schema(whole.data.get("vptct"), SCHEMA)
    trainers = whole.inner("trainers")
    return ServerInfo(
        version=fields.text("version"),
        notice=fields.text("notice"),
        studies=fields.part("studies", _studies),
        tasks=fields.parts("tasks", _task),
        models=fields.parts("models", lambda each: _model(each, trainers)),
        trainings=read_trainings(fields.inner("training").data),
        worklists=read_worklists(fields.inner("active").data),
        server_id=(fields.optional(fields.text, "server_id") or ""),
        uploads=fields.optional(lambda name: fields.part(name, _uploads), "uploads"),
        inference=fields.optional(lambda name: fields.part(name, _inference), "inference"),
        features=fields.optional(lambda name: fields.part(name, _features), "features") or _NO_FEATURES,
    )


def _features(fields: Fields) -> Features:
    return Features(
        explain=fields.optional(fields.flag, "explain") or False,
        report=fields.optional(fields.text, "report") or "off",
    )


def _inference(fields: Fields) -> Inference:
    return Inference(fields.whole("running"), fields.whole("waiting"))


def _uploads(fields: Fields) -> Uploads:
    return Uploads(
        max_bytes=fields.whole("max_bytes"),
        sessions=fields.flag("sessions"),
        session_minutes=fields.maybe(fields.number, "session_minutes"),
        add_studies=fields.optional(fields.flag, "add_studies") or False,
        forms=fields.optional(fields.texts, "forms") or (),
    )


def _studies(fields: Fields) -> StudiesState:
    return StudiesState(fields.text("kind"), fields.flag("reachable"), fields.text("problem"))


def _task(fields: Fields) -> TaskInfo:
    window = fields.inner("hu_window")
    return TaskInfo(
        name=fields.text("name"),
        title=fields.text("title"),
        findings=fields.texts("findings"),
        hu_centre=window.number("centre"),
        hu_width=window.number("width"),
        labels=fields.counts("labels"),
        needs=fields.optional(lambda name: fields.part(name, _needs), "needs"),
    )


def _needs(fields: Fields) -> StudyNeeds:
    return StudyNeeds(
        hu_low=fields.number("hu_low"),
        hu_high=fields.number("hu_high"),
        pixels=fields.maybe(fields.whole, "pixels"),
    )


def _model(fields: Fields, trainers: Fields) -> ModelInfo:
    name = fields.text("name")
    return ModelInfo(
        name=name,
        task=fields.text("task"),
        network=fields.text("network"),
        title=fields.text("title"),
        trained=fields.flag("trained"),
        problem=fields.maybe(fields.text, "problem"),
        version=fields.maybe(fields.whole, "version"),
        pretraining=fields.maybe(fields.text, "pretraining"),
        trained_on=fields.maybe(fields.whole, "trained_on"),
        synthetic=fields.maybe(fields.flag, "synthetic"),
        calibrated=fields.maybe(fields.flag, "calibrated"),
        thresholds=fields.maybe(fields.numbers_or_null, "thresholds"),
        validation_auroc=read_estimates(fields, "validation_auroc"),
        settings=trainers.inner(name).inner("config").data if name in trainers.data else {},
        pixels=fields.optional(fields.whole, "pixels"),
    )

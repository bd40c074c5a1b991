"""run_cell: one training of an experiment, from its studies to its result. No Ray in it.

What a cell needs lies in the study's folder: the results of the searches that choose its learning rate, the
classifier of the pretraining that it begins from. It is done once: a result that is there is handed back, and
an interrupted training goes on by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from vpt_plugin import __version__
from vpt_plugin.data.clip_dataset import CoveringClips
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import ConfigurationError, DivergedError
from vpt_plugin.labels import now
from vpt_plugin.models.card import Estimate
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.device import choose_device, choose_dtype
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.study.cell_answers import answers_of, left_out_of, require_unseen
from vpt_plugin.study.cell_begun import BegunTraining
from vpt_plugin.study.cell_result import TrainedCell, auroc_of, diverged_result, result_of
from vpt_plugin.study.cell_studies import fraction_of, read_manifest
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.facts import code_commit, manifest_sha256, require_same, task_sha256
from vpt_plugin.study.plan import AUTO, Plan
from vpt_plugin.study.rate_choice import choose_rate
from vpt_plugin.study.ready import published_source
from vpt_plugin.study.results import Answers, CellFolder, CellResult, Provenance
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import clip_shape, finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.selection import select_studies
from vpt_plugin.training.sources import ManifestSource
from vpt_plugin.training.test_look import answer_test_set, note_look


def run_cell(
    cell: Cell,
    plan: Plan,
    out: Path,
    *,
    cache: Path | None = None,
    weights: WeightsFolder | None = None,
    device: str = "auto",
    progress: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> CellResult:
    """Train a cell of a plan, test it where it is a final one, and write down what came out.

    Args:
        cell: of the plan; what it needs is done.
        plan: names the datasets and the sizes of networks.
        out: the study's folder.
        cache: where prepared studies are kept; None takes ``prepared`` in ``out``.
        weights: where published weights lie; None takes the folder of this computer.
        device: as in ``choose_device``.
        progress: told of every study prepared, every step and every validation; ``testing`` is the last.
        cancelled: asked as often.

    Returns:
        The result, which lies in the cell's folder, too.

    Raises:
        ConfigurationError: what the cell needs is not done, or a result is there of something else.
        ManifestError, TrainingError, WeightsError: as of ``finetune`` and ``answer_test_set``; a loss that
            is no longer a number is the result of a search cell, and of others an error.
        CancelledError: ``cancelled`` said so.
    """
    cache = cache or out / "prepared"
    run = _CellRun(cell, plan, out, cache, weights or WeightsFolder(), device, progress, cancelled)
    facts = run.facts  # what is missing is told before anything is written or trained
    if (done := run.folder.result()) is not None:
        require_same(done, facts)
        return done
    run.folder.write_cell(cell)
    result, answers = run.run()
    run.folder.write_result(result, answers)
    return result


@dataclass(frozen=True)
class _Tested:
    """What a look at the test side came to; nothing of a cell that is not a final one.

    Attributes:
        answers: to the test studies.
        auroc: per finding.
        left_out: how many test studies were not asked about, by reason.
    """

    answers: Answers | None = None
    auroc: Mapping[str, Estimate] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _CellRun:
    """One cell; arguments as of ``run_cell``."""

    cell: Cell
    plan: Plan
    out: Path
    cache: Path
    weights: WeightsFolder
    device: str
    progress: Callable[[Progress], None]
    cancelled: Callable[[], bool]

    @property
    def folder(self) -> CellFolder:
        return CellFolder.of(self.out, self.cell.id)

    @cached_property
    def task(self) -> ReadingTask:
        return self.plan.dataset(self.cell.dataset).reading_task()

    @cached_property
    def spec(self) -> ModelSpec:
        return self.plan.spec(self.cell.network)

    @cached_property
    def manifest(self) -> Manifest:
        path = self.plan.dataset(self.cell.dataset).manifest_file()
        return read_manifest(Manifest.read(path), self.task)

    @cached_property
    def chosen(self) -> CellResult | None:
        """The search cell whose learning rate is taken; None where the rate is fixed."""
        if self.cell.learning_rate is not None:
            return None
        return choose_rate(
            [self._needed(name) for name in self.cell.search_cells if name not in self.untried]
        )

    @cached_property
    def untried(self) -> tuple[str, ...]:
        """The search cells that failed, for want of memory for example: the others choose, if any is done."""
        folders = [CellFolder.of(self.out, name) for name in self.cell.search_cells]
        failed = tuple(each.root.name for each in folders if each.result() is None and each.failure())
        return failed if len(failed) < len(folders) else ()

    @cached_property
    def start(self) -> CellResult | None:
        """The pretraining that it begins from; None for none."""
        return self._needed(self.cell.start_cell) if self.cell.start_cell else None

    @property
    def rate(self) -> float:
        return self.chosen.learning_rate if self.chosen else self.cell.learning_rate or math.nan

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What its result depends on."""
        return {
            "cell": self.cell.to_json(),
            "manifest_sha256": manifest_sha256(self.manifest, self.task.name),
            "task_sha256": task_sha256(self.task),
            "pretrained_sha256": self._pretrained_sha256(),
            "start_sha256": self.start.provenance.weights_sha256 if self.start else "",
            "learning_rate": self.rate,
        }

    def run(self) -> tuple[CellResult, Answers | None]:
        """Its result, and its answers to the test studies where it is a final cell."""
        if self.untried:
            note = f"the learning rate is chosen without {', '.join(self.untried)}, which failed."
            self._tell("preparing", 0, 0, note)
        try:
            trained, provenance = self._trained()
        except DivergedError:
            if self.cell.stage != "search":
                raise
            return diverged_result(self.cell, self.rate, self.task.findings, self._provenance()), None
        tested = self._test(trained) if self.cell.stage == "final" else _Tested()
        result = result_of(self.cell, self.rate, trained, provenance)
        result = replace(
            result,
            auroc=tested.auroc,
            test_studies=len(tested.answers.studies) if tested.answers else 0,
            left_out=tested.left_out,
            rates_left_out=self.untried,
        )
        return result, tested.answers

    def _trained(self) -> tuple[TrainedCell, Provenance]:
        """Its classifier: the search's own where that is the very same training, else trained now."""
        if self.chosen is None or not self._is_trained_already(self.chosen):
            provenance = self.folder.trained(self.facts)
            if provenance is None:
                provenance = self._train()
                self.folder.write_trained(self.facts, provenance)
            return TrainedCell.of(self.folder, provenance.weights_sha256), provenance
        found, taken = CellFolder.of(self.out, self.chosen.cell.id), self.chosen.provenance
        provenance = replace(taken, **_hashes(self.facts), taken_from=self.chosen.cell.id, finished=now())
        return TrainedCell.of(found, taken.weights_sha256), provenance

    def _needed(self, name: str) -> CellResult:
        result = CellFolder.of(self.out, name).result()
        if result is None:
            raise ConfigurationError(
                f"{self.cell.id} needs {name}, which is not done.", "Run that one first."
            )
        return result

    def _is_trained_already(self, chosen: CellResult) -> bool:
        """Whether the search's own training was this one, to the last fact."""
        tried = replace(self.cell, stage="search", learning_rate=chosen.learning_rate, search_cells=())
        return self.cell.stage == "final" and tried == chosen.cell

    def _pretrained_sha256(self) -> str:
        if self.start is not None:
            return self.start.provenance.pretrained_sha256
        if self.cell.arm == "none":
            return ""
        source = published_source(self.spec, self.weights)
        # Where there is none, verify says which file is missing, and which commands bring it here.
        return self.weights.verify(source or next(iter(self.spec.weights.values()))[0])

    def _train(self) -> Provenance:
        """Of what the training published, now or before it was interrupted."""
        store = ModelStore(self.folder.models)
        begun = BegunTraining.read(self.folder, self.facts)
        card = begun.outcome(store) if begun else None
        if begun is None or card is None:
            source = ManifestSource(fraction_of(self.manifest, self.cell.percent))
            config = self._config(source, store)
            before = begun.before if begun else tuple(each.weights_sha256 for each in store.cards())
            begun = BegunTraining(self.facts, before, self._provenance())
            begun.write(self.folder)
            card = finetune(
                source, self.task, self.spec, config,
                store=store, weights=self.weights, cache=self.cache, prepared_gb=math.inf, device=self.device,
                progress=self.progress, cancelled=self.cancelled, report=False, by=f"study {self.plan.name}",
            ).card  # fmt: skip
        return replace(
            begun.provenance,
            weights_sha256=card.weights_sha256,
            split_hash=card.split_hash,
            labels_hash=card.labels_hash,
            finished=now(),
        )

    @cached_property
    def _begins_from(self) -> TrainedCell | None:
        """The classifier of the pretraining that it begins from; None for none."""
        if self.start is None:
            return None
        folder = CellFolder.of(self.out, self.start.cell.id)
        return TrainedCell.of(folder, self.start.provenance.weights_sha256)

    def _config(self, source: ManifestSource, store: ModelStore) -> FinetuneConfig:
        published = next(iter(self.spec.weights), "")
        words = {"none": "none", "video": published, "ct": "ct", "video+ct": f"{published}+ct"}
        settings: dict[str, Any] = {
            **self.cell.training,
            "pretraining": words[self.cell.arm],
            "learning_rate": self.rate,
            "seed": self.cell.seed,
            "folds": 0,
        }
        if self._begins_from is not None:
            # Into the cell's own store, with the record of whom it has seen.
            card = store.adopt(self._begins_from.store, self._begins_from.card)
            settings["start"] = f"{card.task}_{card.model}:{card.version}"
        if settings.get("steps_per_epoch") == AUTO:
            del settings["steps_per_epoch"]
            config = FinetuneConfig.from_dict(settings)
            return replace(config, steps_per_epoch=self._steps_of_one_pass(source, config))
        return FinetuneConfig.from_dict(settings)

    def _steps_of_one_pass(self, source: ManifestSource, config: FinetuneConfig) -> int:
        """Steps in which as many clips are seen as cover the training side once.

        Positive and negative clips are drawn equally often, as in the paper's own code, whose epoch is as
        long as its list of clips.
        """
        shape = clip_shape(self.task, self.spec)
        with PreparedStudies(
            self.cache, self.task.hu_window, pixels=self.spec.resize_px, limit_gb=math.inf
        ) as prepared:
            data = select_studies(
                source, self.task, shape, prepared, config,
                progress=lambda done, total, note: self._tell("preparing", done, total, note),
                cancelled=self.cancelled,
            )  # fmt: skip
            return math.ceil(len(CoveringClips(data.rounds[0].train, shape)) / config.batch)

    def _test(self, trained: TrainedCell) -> _Tested:
        """Its answers to the test side; the look is noted beside the manifest."""
        source = ManifestSource(self.manifest)
        found = answer_test_set(
            source, self.task, self.spec, trained.classifier, trained.card, trained.record,
            placement=self._placement(), cache=self.cache, prepared_gb=math.inf,
            progress=lambda done, total, note: self._tell("testing", done, total, note),
            cancelled=self.cancelled,
        )  # fmt: skip
        require_unseen(self.cell, found, self._begins_from)
        answers = answers_of(self.cell, self.task.findings, found)
        auroc = auroc_of(answers)
        values = {finding: each.value for finding, each in auroc.items()}
        note_look(source.split_file(self.task.name), found, f"study cell {self.cell.id}", values)
        return _Tested(answers, auroc, left_out_of(found))

    def _placement(self) -> Placement:
        device = choose_device(self.device)
        return Placement(device, choose_dtype(device, str(self.cell.training.get("precision", "auto"))))

    def _provenance(self) -> Provenance:
        """What is known before the training: the code may be another one when that ends."""
        placement = self._placement()
        gpu = torch.cuda.get_device_name(placement.device) if placement.device.type == "cuda" else ""
        return Provenance(
            **_hashes(self.facts),
            code_version=__version__,
            code_commit=code_commit(),
            torch=str(torch.__version__),
            device=f"{placement.device} {gpu}".rstrip(),
            precision=str(placement.dtype).removeprefix("torch."),
            threads=torch.get_num_threads(),
            finished=now(),
        )

    def _tell(self, state: str, done: int, total: int, note: str) -> None:
        self.progress(Progress(state=state, step=done, steps=total, note=note))


def _hashes(facts: dict[str, Any]) -> dict[str, Any]:
    names = asdict(Provenance())
    return {name: value for name, value in facts.items() if name in names}

"""run_cell: one training of an experiment, from its studies to its result. No Ray in it.

What a cell needs lies in the study's folder: the results of the searches that choose its learning rate, the
classifier of the pretraining that it begins from. It is done once: a result that is there is handed back, and
an interrupted training goes on by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from vpt_plugin import __version__
from vpt_plugin.data.clip_dataset import CoveringClips
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import DivergedError
from vpt_plugin.labels import now
from vpt_plugin.models.card import Estimate
from vpt_plugin.models.device import choose_device, choose_dtype
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.study.cell_answers import answers_of, left_out_of, require_unseen
from vpt_plugin.study.cell_begun import BegunTraining
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_needs import CellNeeds
from vpt_plugin.study.cell_records import Answers, CellResult, Provenance
from vpt_plugin.study.cell_result import TrainedCell, auroc_of, diverged_result, result_of
from vpt_plugin.study.cell_studies import fraction_of
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.facts import code_commit, require_same
from vpt_plugin.study.plan import AUTO, Plan
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
    needs = CellNeeds(cell, plan, out, weights or WeightsFolder())
    facts = needs.facts  # what is missing is told before anything is written or trained
    if (done := needs.folder.result()) is not None:
        require_same(done, facts)
        return done
    needs.folder.write_cell(cell)
    result, answers = _CellRun(needs, cache, device, progress, cancelled).run()
    needs.folder.write_result(result, answers)
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
    """One cell; the rest as of ``run_cell``."""

    needs: CellNeeds
    cache: Path
    device: str
    progress: Callable[[Progress], None]
    cancelled: Callable[[], bool]

    def run(self) -> tuple[CellResult, Answers | None]:
        """Its result, and its answers to the test studies where it is a final cell."""
        needs = self.needs
        if needs.untried:
            note = f"the learning rate is chosen without {', '.join(needs.untried)}, which failed."
            self._tell("preparing", 0, 0, note)
        try:
            trained, provenance = self._trained()
        except DivergedError:
            if needs.cell.stage != "search":
                raise
            return diverged_result(needs.cell, needs.rate, needs.task.findings, self._provenance()), None
        tested = self._test(trained) if needs.cell.stage == "final" else _Tested()
        result = result_of(needs.cell, needs.rate, trained, provenance)
        result = replace(
            result,
            auroc=tested.auroc,
            test_studies=len(tested.answers.studies) if tested.answers else 0,
            left_out=tested.left_out,
            rates_left_out=needs.untried,
        )
        return result, tested.answers

    def _trained(self) -> tuple[TrainedCell, Provenance]:
        """Its classifier: the search's own where that is the very same training, else trained now."""
        needs = self.needs
        if (found := needs.trained_already) is not None:
            taken, name = found.provenance, found.cell.id
            provenance = replace(taken, **needs.hashes, taken_from=name, finished=now())
            return TrainedCell.of(CellFolder.of(needs.out, name), taken.weights_sha256), provenance
        known = needs.folder.trained(needs.facts)
        if known is None:
            known = self._train()
            needs.folder.write_trained(needs.facts, known)
        return TrainedCell.of(needs.folder, known.weights_sha256), known

    def _train(self) -> Provenance:
        """Of what the training published, now or before it was interrupted."""
        needs = self.needs
        store = ModelStore(needs.folder.models)
        begun = BegunTraining.read(needs.folder, needs.facts)
        card = begun.outcome(store) if begun else None
        if begun is None or card is None:
            source = ManifestSource(fraction_of(needs.manifest, needs.cell.percent))
            config = self._config(source, store)
            before = begun.before if begun else tuple(each.weights_sha256 for each in store.cards())
            begun = BegunTraining(needs.facts, before, self._provenance())
            begun.write(needs.folder)
            card = finetune(
                source, needs.task, needs.spec, config,
                store=store, weights=needs.weights, cache=self.cache, prepared_gb=math.inf,
                device=self.device, progress=self.progress, cancelled=self.cancelled, report=False,
                by=f"study {needs.plan.name}",
            ).card  # fmt: skip
        return replace(
            begun.provenance,
            weights_sha256=card.weights_sha256,
            split_hash=card.split_hash,
            labels_hash=card.labels_hash,
            finished=now(),
        )

    def _config(self, source: ManifestSource, store: ModelStore) -> FinetuneConfig:
        needs = self.needs
        published = next(iter(needs.spec.weights), "")
        words = {"none": "none", "video": published, "ct": "ct", "video+ct": f"{published}+ct"}
        settings: dict[str, Any] = {
            **needs.cell.training,
            "pretraining": words[needs.cell.arm],
            "learning_rate": needs.rate,
            "seed": needs.cell.seed,
            "folds": 0,
        }
        if needs.begins_from is not None:
            # Into the cell's own store, with the record of whom it has seen.
            card = store.adopt(needs.begins_from.store, needs.begins_from.card)
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
        needs = self.needs
        shape = clip_shape(needs.task, needs.spec)
        with PreparedStudies(
            self.cache, needs.task.hu_window, pixels=needs.spec.resize_px, limit_gb=math.inf
        ) as prepared:
            data = select_studies(
                source, needs.task, shape, prepared, config,
                progress=lambda done, total, note: self._tell("preparing", done, total, note),
                cancelled=self.cancelled,
            )  # fmt: skip
            return math.ceil(len(CoveringClips(data.rounds[0].train, shape)) / config.batch)

    def _test(self, trained: TrainedCell) -> _Tested:
        """Its answers to the test side; the look is noted beside the manifest."""
        needs = self.needs
        source = ManifestSource(needs.manifest)
        found = answer_test_set(
            source, needs.task, needs.spec, trained.classifier, trained.card, trained.record,
            placement=Placement.serving(trained.card, choose_device(self.device), self._precision),
            cache=self.cache, prepared_gb=math.inf,
            progress=lambda done, total, note: self._tell("testing", done, total, note),
            cancelled=self.cancelled,
        )  # fmt: skip
        require_unseen(needs.cell, found, needs.begins_from)
        answers = answers_of(needs.cell, needs.task.findings, found)
        auroc = auroc_of(answers)
        values = {finding: each.value for finding, each in auroc.items()}
        note_look(source.split_file(needs.task.name), found, f"study cell {needs.cell.id}", values)
        return _Tested(answers, auroc, left_out_of(found))

    def _placement(self) -> Placement:
        device = choose_device(self.device)
        return Placement(device, choose_dtype(device, self._precision))

    @property
    def _precision(self) -> str:
        """That the plan asks for: ``auto`` trains as the device likes it, and answers as was checked."""
        return str(self.needs.cell.training.get("precision", "auto"))

    def _provenance(self) -> Provenance:
        """What is known before the training: the code may be another one when that ends."""
        placement = self._placement()
        gpu = torch.cuda.get_device_name(placement.device) if placement.device.type == "cuda" else ""
        return Provenance(
            **self.needs.hashes,
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

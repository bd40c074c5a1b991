"""What came out of a cell: its classifier, and its figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import Answers, CellResult, Provenance
from vpt_plugin.study.cells import Cell
from vpt_plugin.training.collapse import has_collapsed
from vpt_plugin.training.metrics import bootstrap_auroc
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.validation_record import ValidationRecord

_NO_ESTIMATE = Estimate(math.nan, (math.nan, math.nan), 0)


@dataclass(frozen=True)
class TrainedCell:
    """A classifier of the experiment, published in the store of its cell.

    Attributes:
        store: that it is published in.
        card: of it.
    """

    store: ModelStore
    card: ModelCard

    @property
    def classifier(self) -> Classifier:
        """With its weights.

        Raises:
            WeightsError: they are damaged.
        """
        return self.store.classifier(self.card)

    @property
    def record(self) -> ValidationRecord | None:
        """Whom it was trained and validated on; None where nobody knows.

        Raises:
            ModelCardError: the record is damaged.
        """
        return ValidationRecord.read(self.store.place(self.card.task, self.card.model, self.card.version))

    @classmethod
    def of(cls, folder: CellFolder, weights_sha256: str) -> TrainedCell:
        """The one that a cell's result is of.

        Raises:
            ConfigurationError: it is gone.
        """
        store = ModelStore(folder.models)
        for card in store.cards():
            if card.weights_sha256 == weights_sha256:
                return cls(store, card)
        raise ConfigurationError(
            f"{folder.root.name} is done, but its classifier is gone from {folder.models}.",
            f"Remove {folder.root}, and run the same command again.",
        )


def result_of(cell: Cell, rate: float, trained: TrainedCell, provenance: Provenance) -> CellResult:
    """The result of a cell that did not look at the test side.

    Args:
        cell: the cell.
        rate: the learning rate that it was trained with.
        trained: its classifier.
        provenance: of the result.
    """
    card, record = trained.card, trained.record
    history = card.training["history"]
    best = next(each for each in history if each["epoch"] == card.training["best_epoch"])
    return CellResult(
        cell=cell,
        auroc={},
        validation_auroc=card.validation_auroc,
        validation_log_loss=best["log_loss"],
        learning_rate=rate,
        epochs=len(history),
        steps_per_epoch=card.training["config"]["steps_per_epoch"],
        train_studies=card.trained_on,
        validation_studies=len(record.validated) if record else 0,
        test_studies=0,
        collapsed=record is not None and _has_collapsed(card, record),
        diverged=False,
        seconds=card.training["seconds"],
        provenance=provenance,
        micro_batch=card.training.get("micro_batch"),
    )


def diverged_result(cell: Cell, rate: float, findings: tuple[str, ...], provenance: Provenance) -> CellResult:
    """The result of a search cell whose loss was no longer a number."""
    return CellResult(
        cell=cell,
        auroc={},
        validation_auroc=dict.fromkeys(findings, _NO_ESTIMATE),
        validation_log_loss=math.nan,
        learning_rate=rate,
        epochs=0,
        steps_per_epoch=0,
        train_studies=0,
        validation_studies=0,
        test_studies=0,
        collapsed=False,
        diverged=True,
        seconds=0.0,
        provenance=provenance,
    )


def auroc_of(answers: Answers) -> dict[str, Estimate]:
    """Per finding the AUROC of the studies of which it is known, with its interval over patients."""
    found = {}
    for column, finding in enumerate(answers.findings):
        known = np.flatnonzero(~np.isnan(answers.states[:, column]))
        found[finding] = bootstrap_auroc(
            answers.states[known, column],
            answers.probabilities[known, column],
            [answers.patients[row] for row in known],
        )
    return found


def _has_collapsed(card: ModelCard, record: ValidationRecord) -> bool:
    """Whether any finding gets one and the same answer in all validation studies."""

    def own(finding: str) -> NDArray[np.float64]:
        # A collapse is one of what the network itself says: the calibration is taken back.
        said = np.array([each.probabilities[finding] for each in record.validated])
        return np.asarray(expit(logit(said) * card.temperature))

    return any(has_collapsed(own(name), card.validation_auroc[name]) for name in card.findings)

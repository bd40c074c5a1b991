"""Publishing: a trained classifier becomes a version, with its card, its record and its report beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vpt_plugin import __version__
from vpt_plugin.durable import write_over
from vpt_plugin.inference.typicality import FeatureReference, reference_file
from vpt_plugin.labels import now
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.precision_record import PrecisionCheck
from vpt_plugin.training.comparison import Comparison
from vpt_plugin.training.coverage import conformal_record
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.outcome import Outcome
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.report import ReportFacts, write_report
from vpt_plugin.training.report.writing import REPORT
from vpt_plugin.training.reporting import learning_curves, report_studies
from vpt_plugin.training.rounds import Rounds
from vpt_plugin.training.start import Start
from vpt_plugin.training.trained import Trained
from vpt_plugin.training.training_data import TrainingData
from vpt_plugin.training.validation_record import ValidationRecord, record_of
from vpt_plugin.training.verdict import FIRST, Verdict

_SERVED_MEANWHILE = (
    " Meanwhile another version came to be served, with which this one was not compared. So it is kept as a "
    "candidate."
)


@dataclass(frozen=True)
class FinetuneResult:
    """What a finetuning came to.

    Attributes:
        card: of the published version.
        served: whether it is what is served now; else it is a candidate.
        decision: what is served and why, in a sentence or two, for whoever waits.
        comparison: with the version that was served before; None where there was none, or none was possible,
            and of a version that was published before an interruption, whose card has it.
        warnings: what to know before relying on it; sentences, the gravest first.
        report: the HTML report beside the version; None where none was asked for.
        left_out: the studies that could not take part, each with its reason; not on the card, which is
            exported and names no study.
    """

    card: ModelCard
    served: bool
    decision: str
    comparison: Comparison | None = None
    warnings: tuple[str, ...] = ()
    report: Path | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Publication:
    """Everything that is known when a classifier is published.

    Attributes:
        rounds: that trained it: task, network and configuration.
        data: what it was trained on.
        trained: what the rounds came to.
        outcome: what was measured.
        verdict: whether it is served.
        start: the classifier of the site that it began from; None for none.
        run: the number of its run folder.
        source: what the studies came from, in words.
        notes: what was said while the studies were prepared.
        seconds: that it took.
        checks: of its precision.
        reference: what the features of its studies are like; None where that could not be measured.
    """

    rounds: Rounds
    data: TrainingData
    trained: Trained
    outcome: Outcome
    verdict: Verdict
    start: Start | None
    run: str
    source: str
    notes: Sequence[str]
    seconds: float
    checks: Mapping[str, PrecisionCheck]
    reference: FeatureReference | None = None

    def publish(self, store: ModelStore, *, report: bool, by: str) -> FinetuneResult:
        """Publish it as the next version.

        Args:
            store: where to.
            report: whether figures and the HTML report are written.
            by: who ordered the training.

        Raises:
            TrainingError: it cannot be written; what is served stays as it was.
        """
        record = self._record()
        card, verdict = self._card(record), self.verdict
        card = store.publish(
            self.trained.classifier,
            card,
            serve=verdict.serve,
            why=verdict.why,
            by=by,
            instead_of=verdict.instead_of or 0,
            beside=lambda folder: self._write_beside(folder, card, record, report),
        )
        served = verdict.serve and store.current_version(card.task, card.model) == card.version
        return FinetuneResult(
            card=card,
            served=served,
            decision=verdict.why if served == verdict.serve else verdict.why + _SERVED_MEANWHILE,
            comparison=verdict.comparison,
            warnings=self._warnings(),
            report=store.place(card.task, card.model, card.version) / REPORT if report else None,
            left_out=left_out(self.notes),
        )

    def _warnings(self) -> tuple[str, ...]:
        warnings = list(self.outcome.warnings)
        if self.start is not None and self.start.note:
            warnings.append(self.start.note)
        if self.data.folds and (search := self.trained.rate_search) is not None:
            warnings.append(
                f"The learning rate was chosen by {search.train + search.validation} studies that are "
                "validated in other folds, so the figures flatter a little. A test set says what is left of "
                "that: vpt evaluate."
            )
        if self.trained.ran_to_the_end(self.rounds.config.epochs):
            warnings.append(
                f"The best epoch is the last one ({self.trained.epochs}): with more epochs it may get better."
            )
        return tuple(warnings)

    def _record(self) -> ValidationRecord:
        """Who was validated and how."""
        findings, outcome = self.rounds.task.findings, self.outcome
        validated = outcome.held_out.studies
        record = record_of(findings, validated, outcome.probabilities, self.data.trained_on)
        if self.start is None:
            return record
        # What it began from learned from these and was chosen by those; so were its descendants.
        return replace(
            record,
            trained_on=(*record.trained_on, *self.start.seen),
            chosen_by=self.start.chosen_by,
            complete=self.start.known,
        )

    def _write_beside(self, folder: Path, card: ModelCard, record: ValidationRecord, report: bool) -> None:
        """What lies beside the weights: the record, what its studies were like, and the report."""
        record.write(folder)
        if self.reference is not None:
            write_over(folder / reference_file(self.reference.sha256), self.reference.to_bytes())
        if report:
            write_report(self._report_facts(card), folder)

    def _report_facts(self, card: ModelCard) -> ReportFacts:
        return ReportFacts(
            card=card,
            task=self.rounds.task,
            decision=self.verdict.why,
            served=self.verdict.serve,
            studies=report_studies(self.outcome, self.rounds.shape),
            curves=learning_curves(self.trained),
            comparison=self.verdict.comparison,
            warnings=self._warnings(),
            notes=tuple(self.notes),
            source=self.source,
            folds=self.data.folds,
            reference=self.reference,
        )

    def _card(self, record: ValidationRecord) -> ModelCard:
        """What is known about the classifier."""
        task, spec, config, outcome = self.rounds.task, self.rounds.spec, self.rounds.config, self.outcome
        return ModelCard(
            task=task.name,
            model=spec.name,
            findings=task.findings,
            pretraining=config.pretraining,
            clip_slices=self.rounds.shape.length,
            trained_on=len(self.data.trained_on),
            synthetic=self.data.synthetic,
            validation_auroc=outcome.auroc(),
            # Where a rule has none, 0.5 counts, as everywhere else.
            thresholds={name: at for name, at in outcome.thresholds.items() if not math.isnan(at)},
            temperature=outcome.calibration.temperature,
            calibrated=outcome.calibration.calibrated,
            ranges=self.data.ranges(),
            headers=self.data.headers(),
            reading=reading_facts(task, spec),
            training={
                "config": config.to_dict() | ({"start": self.start.name} if self.start else {}),
                **self.trained.to_json(),
                "run": self.run,
                "device": self.rounds.placement.device.type,
                "seconds": round(self.seconds, 1),
                "warnings": list(self._warnings()),
            },
            counts=self.data.counts(task),
            split_hash=self.data.split_hash(),
            labels_hash=self.data.labels_hash(task),
            code_version=__version__,
            created=now(),
            metrics=outcome.metrics,
            threshold_rule=outcome.threshold_rule,
            calibration=outcome.calibration.explanation,
            comparison=self.verdict.to_json(),
            precision_checks=self.checks,
            conformal=conformal_record(task.findings, record.validated, folds=bool(self.data.folds)),
            typicality_sha256=self.reference.sha256 if self.reference else "",
        )


def published_before(
    store: ModelStore, task: str, model: str, run: str, *, by: str, notes: Sequence[str]
) -> FinetuneResult | None:
    """What a training came to that was interrupted between its publication and its end; None for any other.

    Where the version was to be served and that was not recorded any more, it is served now.

    Args:
        store: where it was published.
        task, model: what was trained.
        run: the number of its run folder.
        by: who ordered the training.
        notes: what was said while the studies were prepared.

    Raises:
        TrainingError: what is served cannot be recorded; it stays as it was.
    """
    card = store.published_by(run, task, model)
    if card is None:
        return None
    # The verdict as the card has it, see ``Verdict.to_json``.
    why = card.comparison.get("sentence", FIRST)
    if card.comparison.get("better", True):
        store.serve_published(card, why=why, by=by, instead_of=card.comparison.get("with_version") or 0)
    report = store.place(task, model, card.version) / REPORT
    return FinetuneResult(
        card=card,
        served=store.current_version(task, model) == card.version,
        decision=f"{why} This was published as version {card.version} before the training was interrupted.",
        warnings=tuple(card.training.get("warnings", ())),
        report=report if report.exists() else None,
        left_out=left_out(notes),
    )


def left_out(notes: Sequence[str]) -> tuple[str, ...]:
    """Of what was said while the studies were prepared, which of them could not take part."""
    return tuple(line for note in notes for line in note.splitlines() if " is left out: " in line)

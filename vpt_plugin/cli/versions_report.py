"""Versions in tables and words: lists of them, a card, two cards side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from vpt_plugin.cli.console import print_table
from vpt_plugin.cli.words import count, estimate_in_words, figure
from vpt_plugin.errors import ModelCardError
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.precision import check_command
from vpt_plugin.training.comparison import Comparison
from vpt_plugin.training.served import Served
from vpt_plugin.training.version_folder import VersionFolder


@dataclass(frozen=True)
class Listed:
    """One version in a list.

    Attributes:
        name: ``<task>_<model>``.
        version: its number.
        state: ``served``, ``before`` (a rollback serves it), ``candidate``, or ``unknown`` where the record
            of what is served is damaged.
        card: None where it is damaged.
        problem: what is wrong, with the way out; empty where nothing is.
    """

    name: str
    version: int
    state: str
    card: ModelCard | None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """The row as JSON; what a damaged card does not say is null."""
        card = self.card
        return {
            "name": self.name,
            "version": self.version,
            "state": self.state,
            "problem": self.problem or None,
            "created": card.created if card else None,
            "pretraining": card.pretraining if card else None,
            "trained_on": card.trained_on if card else None,
            "synthetic": card.synthetic if card else None,
            "validation_auroc": (
                {name: each.to_json() for name, each in card.validation_auroc.items()} if card else None
            ),
        }


def listing(folders: Sequence[VersionFolder]) -> list[Listed]:
    """All versions of these folders, by name and number."""
    return [row for folder in folders for row in _rows(folder)]


def _rows(folder: VersionFolder) -> list[Listed]:
    record_problem = ""
    try:
        served = folder.served()
        folder.current()
    except ModelCardError as error:
        record_problem = str(error)
    rows = []
    for version in folder.versions():
        state = "unknown" if record_problem else _state(version, served)
        try:
            rows.append(Listed(folder.name, version, state, folder.card(version), record_problem))
        except ModelCardError as error:
            rows.append(Listed(folder.name, version, state, None, str(error)))
    return rows


def _state(version: int, served: Served) -> str:
    if version == served.version:
        return "served"
    return "before" if version == served.before else "candidate"


def print_listing(found: Sequence[Listed]) -> None:
    """The table, and below it what is wrong."""
    if not found:
        typer.echo("There are no versions yet: `vpt finetune` trains one, `vpt versions import` brings one.")
        return
    columns = ("name", "version", "state", "created", "trained on", "pretraining", "validation AUROC")
    rows = [
        (row.name, str(row.version), row.state if row.card else "damaged", *_cells(row.card)) for row in found
    ]
    print_table(columns, rows, right=("version", "trained on"))
    if any(row.state == "before" for row in found):
        typer.echo("before: served before, and again after `vpt versions rollback`.")
    for row in found:
        if row.state == "served" and row.card and not row.card.precision_checks:
            typer.echo(
                f"{row.name} version {row.version} was not checked in bfloat16, so it answers in float32: "
                f"{check_command(row.card)}"
            )
    for problem in dict.fromkeys(row.problem for row in found if row.problem):
        typer.echo(f"error: {problem}", err=True)


def _cells(card: ModelCard | None) -> tuple[str, str, str, str]:
    if card is None:
        return "", "", "", ""
    aurocs = [f"{name} {estimate_in_words(each)}" for name, each in card.validation_auroc.items()]
    trained_on = f"{card.trained_on}{' phantoms' if card.synthetic else ''}"
    return card.created or "-", trained_on, card.pretraining, "; ".join(aurocs) or "n/a"


def print_card(card: ModelCard, served: Served, *, lost: str = "") -> None:
    """One version: what it is, how good, and when it was served.

    Args:
        lost: what is wrong with the file that says what its training studies were like.
    """
    columns = (f"{card.task}_{card.model}", f"version {card.version}, {_state(card.version, served)}")
    print_table(columns, list({**_facts(card, lost), **_figures(card)}.items()))
    if sentence := card.comparison.get("sentence"):
        typer.echo(f"When it was trained: {sentence}\n")
    for warning in card.training.get("warnings", ()):
        typer.echo(f"warning: {warning}\n")
    changes = [change for change in served.changes if change.version == card.version]
    if changes:
        rows = [(change.when or "-", change.how, change.by or "-", change.why or "-") for change in changes]
        print_table(("served from", "how", "by", "why"), rows)


def print_comparison(first: ModelCard, second: ModelCard, recorded: Comparison | None = None) -> None:
    """Two cards side by side: facts, figures, and whether the figures may be compared.

    Args:
        recorded: the second against the first, on the studies that both were validated on.
    """
    rows = [*_beside(_facts(first), _facts(second)), *_beside(_figures(first), _figures(second))]
    columns = (f"{first.task}_{first.model}", f"version {first.version}", f"version {second.version}")
    print_table(columns, rows)
    typer.echo(comparability(first, second)[1])
    if recorded is not None:
        names = f"version {first.version}", f"version {second.version}"
        typer.echo(recorded.side_by_side(*names))


def _beside(ones: Mapping[str, str], twos: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Rows of what either says."""
    return [(what, ones.get(what, "n/a"), twos.get(what, "n/a")) for what in dict.fromkeys((*ones, *twos))]


def comparability(first: ModelCard, second: ModelCard) -> tuple[bool, str]:
    """Whether the figures of two cards may be compared, and why, in a sentence or two."""
    if not (_figures(first) and _figures(second)):
        without = " and ".join(str(card.version) for card in (first, second) if not _figures(card))
        return False, f"Not comparable: there are no figures of version {without}."
    if not first.split_hash or not second.split_hash:
        return False, "Not comparable: which studies the figures are from is not known of both versions."
    if first.split_hash != second.split_hash:
        return False, (
            "Not comparable: these figures are from different studies, or from other sides of a split. "
            "Which version is better, they do not say."
        )
    sentence = (
        "Comparable: both were trained and validated on the same studies. Where the intervals overlap much, "
        "the difference may be chance."
    )
    if first.labels_hash != second.labels_hash:
        sentence += " Some labels of these studies changed in between."
    return True, sentence


def _facts(card: ModelCard, lost: str = "") -> dict[str, str]:
    thresholds = {f"threshold of {name}": figure(card.threshold(name)) for name in card.findings}
    return {
        "created": card.created or "-",
        "pretraining": card.pretraining,
        "trained on": f"{card.trained_on} {'phantoms' if card.synthetic else 'studies'}",
        "clips": count(card.clip_slices, "slice"),
        "calibration": card.calibration or _temperature(card),
        **thresholds,
        "threshold rule": card.threshold_rule or "-",
        **_precision(card),
        **_evidence(card, lost),
        "studies and their sides": card.split_hash[:12] or "-",
        "labels": card.labels_hash[:12] or "-",
        "weights": card.weights_sha256[:12] or "-",
        "trained with": f"vptct {card.code_version}" if card.code_version else "-",
    }


def _precision(card: ModelCard) -> dict[str, str]:
    """Per way of computing that was measured, what the version answers in and why."""
    if not card.precision_checks:
        return {"bfloat16": f"not checked, so it answers in float32: {check_command(card)}"}
    return {
        way: f"answers in {'bfloat16' if each.passed else 'float32'} with {each.computed_with.words()}: "
        f"{each.words()}"
        for way, each in card.precision_checks.items()
    }


def _evidence(card: ModelCard, lost: str) -> dict[str, str]:
    """How often its decisions are unsure, and whether it can tell that a study is unlike those it knows."""
    measure = f"measure it: vpt versions check-evidence {card.task}_{card.model} {card.version}"
    known = "told of every study" if card.typicality_sha256 else f"n/a, {measure}"
    told = {"like those it knows": f"n/a, {lost}; {measure}" if lost else known}
    if card.conformal is None:
        return {"present, absent or unsure": f"n/a, {measure}", **told}
    for finding, measured in card.conformal.measured.items():
        shares = [
            f"{100 * each.unsure:.0f} % at an error rate of {100 * each.error_rate:g} %"
            for each in measured
            if each.unsure is not None
        ]
        told[f"unsure of {finding}"] = ", ".join(shares) or "n/a, too few validation studies"
    if card.conformal.reservation:
        told["error rate"] = card.conformal.reservation
    return told


def _temperature(card: ModelCard) -> str:
    return f"temperature {card.temperature:.3f}" if card.calibrated else "not calibrated"


def _figures(card: ModelCard) -> dict[str, str]:
    """``study lung_nodule AUROC``: ``0.880 [0.810, 0.940] (60 studies)``."""
    from vpt_plugin.training.metrics import FIGURES

    told = {}
    for level, findings in card.metrics.items():
        for finding, figures in findings.items():
            for key, estimate in figures.items():
                title = FIGURES[key].title if key in FIGURES else key
                told[f"{level} {finding} {title}"] = _words(estimate, level)
    for finding, estimate in card.validation_auroc.items():
        told.setdefault(f"study {finding} AUROC", _words(estimate, "study"))
    return told


def _words(estimate: Estimate, level: str) -> str:
    if level == "study":
        return estimate_in_words(estimate)
    interval = "" if math.isnan(estimate.value) else " [{}, {}]".format(*map(figure, estimate.ci95))
    return f"{figure(estimate.value)}{interval} ({estimate.n} {level}s)"

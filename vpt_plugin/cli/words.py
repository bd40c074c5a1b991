"""Facts in words: model cards, estimates, sizes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vpt_plugin.models.card import Estimate, ModelCard

if TYPE_CHECKING:
    from vpt_plugin.training.progress import Progress


def model_in_words(card: ModelCard) -> str:
    """One line that says which model answered and how good it is known to be."""
    calibrated = "calibrated" if card.calibrated else "not calibrated"
    aurocs = "; ".join(f"{name} {estimate_in_words(e)}" for name, e in card.validation_auroc.items())
    return (
        f"Model {card.task}/{card.model} version {card.version}: pretraining {card.pretraining}, "
        f"trained on {card.trained_on} studies, {calibrated}; validation AUROC: {aurocs or 'n/a'}."
    )


def card_in_words(card: ModelCard) -> str:
    """Some lines that say what was published."""
    synthetic = "; all phantoms: never use it on patients" if card.synthetic else ""
    lines = [
        f"Published {card.task}/{card.model} version {card.version}:",
        f"  trained on {card.trained_on} studies{synthetic}",
        f"  pretraining {card.pretraining}, clips of {count(card.clip_slices, 'slice')}",
        f"  calibrated, temperature {card.temperature:.3f}" if card.calibrated else "  not calibrated",
    ]
    left_out = card.counts.get("left_out", {})
    if left_out:
        reasons = "; ".join(f"{number} {reason}" for reason, number in sorted(left_out.items()))
        lines.append(f"  left out: {reasons}")
    for name in card.findings:
        estimate = card.validation_auroc.get(name)
        auroc = estimate_in_words(estimate) if estimate else "n/a"
        lines.append(f"  {name}: validation AUROC {auroc}; present from {figure(card.threshold(name))} on")
        lines += [f"    {words}" for words in _more_figures(card, name)]
    return "\n".join(lines)


def _more_figures(card: ModelCard, finding: str) -> list[str]:
    """Sensitivity, specificity and what is known of clips, where the card has them."""
    study, clip = (card.metrics.get(level, {}).get(finding, {}) for level in ("study", "clip"))
    words = [
        f"{name} {_with_interval(study[name])}" for name in ("sensitivity", "specificity") if name in study
    ]
    lines = [f"{', '.join(words)} at that threshold ({card.threshold_rule})"] if words else []
    if "auroc" in clip and clip["auroc"].n:
        lines.append(f"single clips: AUROC {_with_interval(clip['auroc'])} ({clip['auroc'].n} clips)")
    return lines


def _with_interval(estimate: Estimate) -> str:
    """``0.88 [0.81, 0.94]``; an undefined figure is n/a, an undefined interval [n/a, n/a]."""
    low, high = estimate.ci95
    interval = f" [{figure(low)}, {figure(high)}]" if not math.isnan(estimate.value) else ""
    return f"{figure(estimate.value)}{interval}"


def progress_in_words(now: Progress) -> str:
    """``training: epoch 2/7, loss 0.412, validation AUROC 0.871, 1 min 20 s left``."""
    parts = []
    if now.folds:
        parts.append(f"fold {now.fold}/{now.folds}" if now.fold else "all studies")
    if now.epochs:
        parts.append(f"epoch {now.epoch}/{now.epochs}")
    if now.loss is not None:
        parts.append(f"loss {now.loss:.3f}")
    if now.validation_auroc is not None:
        parts.append(f"validation AUROC {figure(now.validation_auroc)}")
    if now.seconds_left is not None:
        parts.append(f"{duration(now.seconds_left)} left")
    return f"{now.state}: {', '.join(parts)}" if parts else now.state


def duration(seconds: float) -> str:
    """``45 s``, ``1 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def estimate_in_words(estimate: Estimate) -> str:
    """``0.88 [0.81, 0.94] (60 studies)``; an undefined figure is n/a, an undefined interval [n/a, n/a]."""
    return f"{_with_interval(estimate)} ({estimate.n} studies)"


def figure(value: float) -> str:
    """Three digits after the point; n/a for what is undefined."""
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def count(number: int, one: str, many: str = "") -> str:
    """``1 study``, ``2 studies``; the plural is made with an s where none is given."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def megabytes(size: int) -> str:
    """``112 MB``."""
    return f"{size / 1e6:.0f} MB"


def command_line(*words: object) -> str:
    """A command to copy; words with spaces are in the double quotes that every shell understands."""
    return " ".join(f'"{word}"' if " " in str(word) else str(word) for word in words)

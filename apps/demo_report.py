"""What the demo shows at its end: a table of answers beside the truth, figures, a picture, a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from vpt_plugin.ct.intensity import window_hu
from vpt_plugin.ct.volume import Volume
from vpt_plugin.models.card import Estimate
from vpt_plugin.tasks import ReadingTask

ENOUGH_AUROC = 0.90


@dataclass(frozen=True)
class Answer:
    """What the server said about one study.

    Attributes:
        study: its name.
        sent: how it got to the server: ``id`` of a study there, or the kind of file that was uploaded.
        truth: ``present`` or ``absent``; "" where nobody knows, which is a real CT.
        truth_mm: patient-z ranges that show the finding.
        seconds: from the request to the answer.
        result: the JSON of ``vptct.result/1``.
    """

    study: str
    sent: str
    truth: str
    truth_mm: tuple[tuple[float, float], ...]
    seconds: float
    result: Mapping[str, Any]

    @property
    def finding(self) -> Mapping[str, Any]:
        """The answer about the first finding."""
        return dict(self.result["vptct"]["findings"][0])

    @property
    def points_at_the_truth(self) -> bool:
        """Whether the key slice shows the finding."""
        key_mm = self.finding["key_slice_mm"]
        return any(low <= key_mm <= high for low, high in self.truth_mm)

    @property
    def warnings(self) -> list[str]:
        """What the reader must know before trusting the answer."""
        return list(self.result["vptct"]["warnings"])


@dataclass(frozen=True)
class Proposed:
    """A study that the server would have labelled next.

    Attributes:
        study: its id.
        strategy: that chose it.
        why: in a sentence.
    """

    study: str
    strategy: str
    why: str


@dataclass(frozen=True)
class Outcome:
    """The demo's figures.

    Attributes:
        auroc: over all held-out phantoms.
        baseline: name and AUROC of the best single number of a volume, on the same phantoms.
        seconds: per part of the demo.
    """

    auroc: Estimate
    baseline: tuple[str, float]
    seconds: Mapping[str, float]

    @property
    def good_enough(self) -> bool:
        """Whether the AUROC is what the demo promises; an undefined one is not."""
        return self.auroc.value >= ENOUGH_AUROC


def print_report(console: Console, answers: Sequence[Answer], outcome: Outcome) -> None:
    """The table of answers beside the truth, and the figures below it."""
    console.print(_table(answers))
    threshold = answers[0].finding["threshold"]
    console.print(f"A nodule is called present from {threshold:.3f} on, as chosen on the validation studies.")
    for answer in answers:
        if not answer.truth:
            console.print(
                f"{answer.study} is a patient, of whom this demo model knows nothing. The server warns:"
            )
            for warning in answer.warnings:
                console.print(f"  - {warning}", markup=False)
    interval = "n/a" if math.isnan(outcome.auroc.ci95[0]) else "{:.3f} to {:.3f}".format(*outcome.auroc.ci95)
    name, baseline = outcome.baseline
    console.print(
        f"AUROC on {outcome.auroc.n} held-out phantoms: [bold]{outcome.auroc.value:.3f}[/bold] "
        f"(95 % interval {interval}; at least {ENOUGH_AUROC:.2f} is expected)"
    )
    console.print(f"Best single number of a volume ({name}): {baseline:.3f}")
    parts = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in outcome.seconds.items())
    console.print(f"Time: {parts}; {sum(outcome.seconds.values()):.0f} s in all")


def print_proposed(console: Console, proposed: Sequence[Proposed]) -> None:
    """What the server proposes to label next, with its reasons."""
    if proposed:
        console.print("Which study to label next, as the server proposes:")
    for each in proposed:
        console.print(f"  - {each.study} ({each.strategy}): {each.why}", markup=False, highlight=False)


def _table(answers: Sequence[Answer]) -> Table:
    table = Table(title="Held-out studies: what the server says, and the truth", box=box.SIMPLE_HEAD)
    for heading in ("study", "sent as", "truth", "answer"):
        table.add_column(heading, no_wrap=True)
    for heading in ("probability", "key slice", "shows it", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for answer in answers:
        finding = answer.finding
        present = finding["decision"] == "present"
        wrong = answer.truth and answer.truth != finding["decision"]
        table.add_row(
            answer.study,
            answer.sent,
            answer.truth or "patient",
            f"[bold red]{finding['decision']}[/bold red]" if wrong else finding["decision"],
            f"{finding['probability']:.3f}",
            f"{finding['key_slice_mm']:.0f} mm" if present else "",
            ("yes" if answer.points_at_the_truth else "no") if present and answer.truth_mm else "",
            f"{answer.seconds:.2f}",
        )
    return table


def write_report(path: Path, answers: Sequence[Answer], outcome: Outcome) -> None:
    """All of it as JSON."""
    report = {
        "auroc": outcome.auroc.to_json(),
        "baseline": {"statistic": outcome.baseline[0], "auroc": outcome.baseline[1]},
        "good_enough": outcome.good_enough,
        "seconds": dict(outcome.seconds),
        "answers": [asdict(answer) for answer in answers],
    }
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def draw_picture(path: Path, volume: Volume, answer: Answer, task: ReadingTask) -> bool:
    """The key slice, and the probability along the patient's length beside the truth, as a PNG.

    Returns:
        Whether it was drawn; False where matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    picture, curve = figure.subplots(1, 2, width_ratios=[1, 1.5])
    finding = answer.finding
    key_mm = finding["key_slice_mm"]
    index = int(abs(volume.slice_z_mm - key_mm).argmin())
    picture.imshow(window_hu(volume.hu[index : index + 1], task.hu_window)[0], cmap="gray", vmin=0, vmax=255)
    picture.set_title(f"{answer.study}: key slice at z = {key_mm:.0f} mm")
    picture.set_axis_off()
    _draw_curve(curve, answer, task)
    handles, labels = curve.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=len(once), frameon=False)
    figure.savefig(path, dpi=110)
    return True


def _draw_curve(curve: Any, answer: Answer, task: ReadingTask) -> None:
    """Probability per clip over z; a clip is a bar over the slices that it sees."""
    finding = answer.finding
    for low, high in answer.truth_mm:
        curve.axvspan(low, high, color="tab:green", alpha=0.25, lw=0, label="truth: slices that show it")
    for clip in finding["clips"]:
        curve.plot(
            clip["z_mm"], [clip["probability"]] * 2, color="tab:blue", lw=4, alpha=0.7, label="one clip"
        )
    curve.axhline(finding["threshold"], color="black", ls="--", lw=1, label="threshold")
    curve.axvline(finding["key_slice_mm"], color="tab:red", lw=1, label="key slice")
    curve.set(
        xlabel="patient z, mm (feet to head)",
        ylabel="probability",
        ylim=(-0.02, 1.02),
        title=f"{task.title}: {finding['decision']}, probability {finding['probability']:.2f}",
    )

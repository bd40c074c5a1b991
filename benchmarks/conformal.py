"""Does "at most one in ten is wrong" hold, how often is it unsure, and does an odd study look odd?

Networks trained from nothing on phantoms (those of the pointing game) answer phantoms of other patients:

- over 200 random splits of these, four fifths decide about the rest: the mean share whose true state is left
  in must lie in the interval that exchangeable studies give, or above it where probabilities are equal;
- the version decides by its own validation studies, which also chose its epoch, temperature and threshold:
  what is left of the promise then, on studies that chose nothing;
- odd studies lie beyond the threshold of the feature distance more often than phantoms like those of the
  training: another noise, another kernel, shifted values, thick slices, 8 bits, a head, nothing at all.

    python benchmarks/conformal.py                   trains what is not there: half an hour of one core
    python benchmarks/conformal.py --folder DIR      keeps models, phantoms and answers, or takes those there
    python benchmarks/conformal.py --quick           `tiny` on nodules, trained shortly, fewer studies
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

# Before torch is loaded: its threads otherwise spin while they wait, and a training comes to a standstill.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from numpy.typing import NDArray
from pointing_players import PLAYERS, QUICK, Player
from scipy.ndimage import gaussian_filter
from side_by_side import SideBySide, Target, parser

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import Phantom, make_phantom
from vpt_plugin.data.phantom.phantom import PhantomConfig
from vpt_plugin.data.phantom.study_set import PlannedStudy, plan_studies
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.typicality import FeatureReference
from vpt_plugin.models.conformal_record import ConformalScores, MeasuredCoverage
from vpt_plugin.models.device import keep_freed_memory
from vpt_plugin.training.calibration import wilson_interval
from vpt_plugin.training.coverage import SPLITS, coverage_on, coverage_over_splits, one_per_patient
from vpt_plugin.training.evidence_check import check_evidence
from vpt_plugin.training.model_store import ModelStore

ASKED = ("nodule_tiny", "pe_tiny")
FRESH, QUICK_FRESH = 120, 40
ODD, QUICK_ODD = 20, 8
RATES = (0.05, 0.1, 0.2)
# Of other patients than those of the trainings and of the pointing game.
_SEED = 178
USUAL = PhantomConfig()
Change = Callable[[Volume], Volume]


@dataclass(frozen=True)
class Answer:
    """What was said of a study.

    Attributes:
        patient: whose it is.
        present: whether it has the finding.
        probability: of the study.
        distance: of its features.
    """

    patient: str
    present: bool
    probability: float
    distance: float


@dataclass(frozen=True)
class OddKind:
    """How a study is not as the network knows them.

    Attributes:
        config: what its phantom is drawn from.
        change: what is done to its voxels then.
    """

    config: PhantomConfig = USUAL
    change: Change = lambda volume: volume


def _with_values(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Change:
    return lambda volume: replace(
        volume, hu=np.clip(np.rint(change(volume.hu.astype(np.float32))), -1024, 3071).astype(np.int16)
    )


def _head(volume: Volume) -> Volume:
    """A skull with a brain in it, on the grid of a chest."""
    z, y, x = (np.linspace(-1, 1, size) for size in volume.hu.shape)
    out = (z[:, None, None] / 0.95) ** 2 + (y[:, None] / 0.75) ** 2 + (x / 0.6) ** 2
    hu = np.where(out < 0.85, 35.0, np.where(out < 1, 900.0, -1000.0))
    noise = np.random.default_rng(len(z)).normal(0, 15, hu.shape)
    return replace(volume, hu=np.rint(hu + noise).clip(-1024, 3071).astype(np.int16))


KINDS: Mapping[str, OddKind] = MappingProxyType(
    {
        "noise of 60 to 90 HU": OddKind(replace(USUAL, noise_hu=(60.0, 90.0))),
        "no noise": OddKind(replace(USUAL, noise_hu=(0.0, 0.5))),
        "a smooth kernel": OddKind(
            change=_with_values(lambda hu: gaussian_filter(hu, (0, 1.5, 1.5), mode="nearest"))
        ),
        "an edge kernel": OddKind(
            change=_with_values(lambda hu: hu + 2 * (hu - gaussian_filter(hu, (0, 1.5, 1.5), mode="nearest")))
        ),
        "values shifted by 200 HU": OddKind(change=_with_values(lambda hu: hu + 200)),
        "8 bits": OddKind(change=_with_values(lambda hu: (hu + 1000).clip(0, 1800) * (255 / 1800))),
        "slices of 8 mm": OddKind(replace(USUAL, slice_spacings_mm=(8.0,))),
        "a head": OddKind(change=_head),
        "air only": OddKind(change=_with_values(lambda hu: np.full_like(hu, -1000))),
    }
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the players that are asked for."""
    arguments = parser(__doc__)
    arguments.add_argument("players", nargs="*", metavar="PLAYER", help=f"of {', '.join(ASKED)}; all of them")
    arguments.add_argument("--folder", type=Path, help="keeps models, phantoms and answers")
    options = arguments.parse_args(argv)
    keep_freed_memory()
    bench = SideBySide("conformal", "present, absent or unsure, and odd studies")
    fresh, odd = (QUICK_FRESH, QUICK_ODD) if options.quick else (FRESH, ODD)
    with tempfile.TemporaryDirectory() as temporary:
        for player in [QUICK] if options.quick else [PLAYERS[name] for name in options.players or ASKED]:
            measure(bench, player, options.folder or Path(temporary), fresh, odd)
    return bench.finish()


def measure(bench: SideBySide, player: Player, folder: Path, fresh: int, odd: int) -> None:
    """One network: its decisions, then its distances."""
    player.trained(folder, print)
    store, task = ModelStore(folder / "models"), player.reading_task
    card = store.card(player.task, player.model)
    if not card.typicality_sha256:
        card = check_evidence(store, task, player.model, cache=folder / "prepared", device="cpu").card
    reference = store.reference(card)
    if not isinstance(reference, FeatureReference) or card.conformal is None:
        bench.skip(player.name, "", "it was trained on too few studies")
        return
    predictor = Predictor(
        store.classifier(card), task, card,
        device="cpu", backend="torch", precision="float32", unsuitable="warn", reference=reference,
    )  # fmt: skip
    kept = Kept(folder / f"answers-{player.name}-{card.weights_sha256[:16]}.json", player, predictor)
    answers = kept.answers({"fresh": OddKind()}, fresh)["fresh"]
    scores = scores_of(answers)
    of_how_many = f"{len(scores.present)} with, {len(scores.absent)} without"
    for each in coverage_over_splits(scores, RATES):
        tell_coverage(bench, f"{player.name}, {SPLITS} splits of {of_how_many}", each)
    own = card.conformal.scores[task.findings[0]]
    of_own = f"{len(own.present)} and {len(own.absent)} validation studies decide about {of_how_many}"
    for each in coverage_on(own, scores, RATES):
        tell_coverage(bench, f"{player.name}, {of_own}", each)
    tell_distances(
        bench, player.name, "like its training", [a.distance for a in answers], reference.threshold
    )
    for kind, found in kept.answers(KINDS, odd).items():
        tell_distances(bench, player.name, kind, [each.distance for each in found], reference.threshold)


@dataclass(frozen=True)
class Kept:
    """Answers, computed once and kept in a file.

    Attributes:
        path: of the file.
        player: whose they are.
        predictor: of the player.
    """

    path: Path
    player: Player
    predictor: Predictor

    def answers(self, kinds: Mapping[str, OddKind], count: int) -> dict[str, list[Answer]]:
        """Answers to so many studies of each kind; after an interruption it goes on where it was."""
        known = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        # Always the same studies, whatever is asked of them.
        plan = plan_studies(count=FRESH, seed=_SEED, task=self.player.task, splits=(0, 0, FRESH))[:count]
        for number, planned in enumerate(plan):
            made: dict[PhantomConfig, Phantom] = {}
            for kind, what in kinds.items():
                found = known.setdefault(kind, [])
                if len(found) > number:
                    continue
                if what.config not in made:
                    made[what.config] = _made(planned, what.config)
                found.append(vars(self._answer(planned, made[what.config], what.change)))
            self.path.write_text(json.dumps(known, indent=1), encoding="utf-8")
        return {kind: [Answer(**each) for each in known[kind][:count]] for kind in kinds}

    def _answer(self, planned: PlannedStudy, phantom: Phantom, change: Change) -> Answer:
        said = self.predictor.predict(change(phantom.volume))
        distance = said.suitability.distance if said.suitability else None
        if distance is None:
            raise ValueError(f"{phantom.volume.study}: no distance was measured")
        finding = phantom.labels[self.player.task].findings[said.findings[0].name]
        present = finding.state == "present"
        return Answer(planned.patient, present, said.findings[0].probability, distance.value)


def _made(planned: PlannedStudy, config: PhantomConfig) -> Phantom:
    return make_phantom(
        planned.seed, config=config, visit=planned.visit,
        nodule=planned.nodule, contrast=planned.contrast, emboli=planned.emboli,
    )  # fmt: skip


def scores_of(answers: Sequence[Answer]) -> ConformalScores:
    """Of either state, one study per patient."""
    states = []
    for state in (True, False):
        of_state = [each for each in answers if each.present is state]
        patients = [each.patient for each in of_state]
        order = [f"{number:06}" for number in range(len(of_state))]
        states.append(one_per_patient(patients, order, [each.probability for each in of_state]))
    return ConformalScores.of(*states)


def tell_coverage(bench: SideBySide, what: str, measured: MeasuredCoverage) -> None:
    """Rows of an error rate: coverage by state, and the share of unsure ones."""
    rate = f"at an error rate of {100 * measured.error_rate:g} %"
    for state, found in (("present", measured.present), ("absent", measured.absent)):
        if found is None:
            continue
        low, high = (100 * end for end in found.ci95)
        bench.figure(
            what, f"{rate}, {state} left in", 100 * found.coverage, "%", target=Target(at_least=low),
            note=f"expected {100 * found.expected:.1f} ({low:.1f} to {high:.1f}), {found.calibrating} decide",
        )  # fmt: skip
    if measured.unsure is not None:
        bench.figure(what, f"{rate}, unsure", 100 * measured.unsure, "%")


def tell_distances(
    bench: SideBySide, what: str, kind: str, distances: Sequence[float], threshold: float
) -> None:
    """A row: how many lie beyond the threshold, with a 95 % interval."""
    beyond = sum(each > threshold for each in distances)
    low, high = wilson_interval(beyond, len(distances))
    bench.figure(
        what, f"beyond the threshold: {kind}", 100 * beyond / len(distances), "%",
        note=f"{beyond} of {len(distances)} ({100 * low:.0f} to {100 * high:.0f} %), median distance "
        f"{float(np.median(distances)):.2f}, threshold {threshold:.2f}",
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())

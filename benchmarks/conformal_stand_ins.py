"""What becomes of "at most one in ten is wrong" where the validation studies helped to make the network?

Stand-ins that can be drawn a thousand times take the place of networks and studies: features drawn from a
normal distribution, a few of which tell the finding, and a logistic regression that learns nearly by heart.
All studies are exchangeable, so that nothing but how the record came about is measured:

- from studies that the network saw nothing of, the true state is ruled out as often as promised;
- with folds, each study is answered by the network of the fold that left it out, and new ones by one that
  was trained on all of them;
- the epoch is the one of the highest validation AUROC. At worst, the epochs have nothing to do with each
  other; those of a training are more alike, so that choosing among them costs less.

    python benchmarks/conformal_stand_ins.py [--quick]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata
from side_by_side import SideBySide, Target, parser

from vpt_plugin.inference.conformal import p_values

RATE = 0.1
FEATURES, TELLING, APART = 40, 3, 0.8
PENALTY = 0.001
NEW, NEW_OF_AN_EPOCH = 400, 200
DRAWN, QUICK_DRAWN = 200, 20
STUDIES = 60
# Nearly where the regression's weights stay.
_STEPS = 30

Floats = NDArray[np.float64]
RuledOut = Callable[[np.random.Generator], float]


def by_folds(folds: int, studies: int = STUDIES) -> RuledOut:
    """How often the true state is ruled out by what the networks of the folds said of all studies."""

    def once(rng: np.random.Generator) -> float:
        features, states = _drawn(rng, studies)
        part = rng.permutation(studies) % folds
        said = np.zeros(studies)
        for fold in range(folds):
            left_out = part == fold
            said[left_out] = _says(_learned(features[~left_out], states[~left_out]), features[left_out])
        return _ruled_out(rng, _learned(features, states), said, states)

    return once


def by_unseen(studies: int = STUDIES) -> RuledOut:
    """The same by what the network itself said of as many studies that it saw nothing of."""

    def once(rng: np.random.Generator) -> float:
        weights = _learned(*_drawn(rng, studies))
        features, states = _drawn(rng, studies)
        return _ruled_out(rng, weights, _says(weights, features), states)

    return once


def by_best_epoch(epochs: int, of_a_state: int, apart: float = 0.5) -> RuledOut:
    """The same by validation studies that chose the best of epochs, each of which is a network of its own."""

    def once(rng: np.random.Generator) -> float:
        present = rng.normal(apart, 1, (epochs, of_a_state))
        absent = rng.normal(0, 1, (epochs, of_a_state))
        # The sum of the ranks of the present ones orders epochs as the AUROC does.
        ranks = rankdata(np.concatenate([present, absent], axis=1), axis=1)
        best = ranks[:, :of_a_state].sum(axis=1).argmax()
        asked = rng.normal(apart, 1, NEW_OF_AN_EPOCH)
        p_present, _ = p_values(np.sort(present[best]), np.sort(absent[best]), asked)
        return float((p_present <= RATE).mean())

    return once


def over_drawings(ruled_out: RuledOut, drawn: int) -> tuple[float, float]:
    """The mean share over so many drawings, and its standard error."""
    found = [ruled_out(np.random.default_rng(seed)) for seed in range(drawn)]
    return float(np.mean(found)), float(np.std(found, ddof=1)) / drawn**0.5


def _drawn(rng: np.random.Generator, studies: int) -> tuple[Floats, Floats]:
    """Features (studies, FEATURES) and states; every second study has the finding."""
    states = (np.arange(studies) % 2).astype(np.float64)
    shift = np.where(np.arange(FEATURES) < TELLING, APART, 0.0)
    return rng.normal(size=(studies, FEATURES)) + states[:, np.newaxis] * shift, states


def _learned(features: Floats, states: Floats) -> Floats:
    """Weights and a bias of a logistic regression with next to no penalty, by Newton's method."""
    rows = _with_bias(features)
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        said = expit(rows @ weights)
        slope = rows.T @ (said - states) + PENALTY * weights
        bend = (rows.T * (said * (1 - said))) @ rows + PENALTY * np.eye(len(weights))
        weights = weights - np.linalg.solve(bend, slope)
    return weights


def _says(weights: Floats, features: Floats) -> Floats:
    """Logits: what is decided depends on their order alone."""
    return np.asarray(_with_bias(features) @ weights)


def _with_bias(features: Floats) -> Floats:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def _ruled_out(rng: np.random.Generator, weights: Floats, said: Floats, states: Floats) -> float:
    """The share of new studies whose true state is ruled out, both states weighing the same."""
    features, new = _drawn(rng, NEW)
    p_present, p_absent = p_values(
        np.sort(said[states == 1]), np.sort(said[states == 0]), _says(weights, features)
    )
    return float((np.where(new == 1, p_present, p_absent) <= RATE).mean())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all of them."""
    options = parser(__doc__).parse_args(argv)
    drawn = QUICK_DRAWN if options.quick else DRAWN
    bench = SideBySide("conformal_stand_ins", f"the true state is ruled out, promised: {100 * RATE:g} %")
    rank = int(RATE * (STUDIES // 2 + 1))
    promised = 100 * rank / (STUDIES // 2 + 1)
    share, error = (100 * each for each in over_drawings(by_unseen(), drawn))
    bench.figure(
        f"{STUDIES} studies", "that the network saw nothing of", share, "%",
        target=Target(at_least=promised - 3 * error, at_most=promised + 3 * error), note=f"± {error:.1f}",
    )  # fmt: skip
    for folds in (10, 5, 2):
        share, error = (100 * each for each in over_drawings(by_folds(folds), drawn))
        bench.figure(f"{STUDIES} studies", f"in {folds} folds", share, "%", note=f"± {error:.1f}")
    for of_a_state in (16, 30, 60):
        for epochs in (1, 10, 30):
            found = over_drawings(by_best_epoch(epochs, of_a_state), 5 * drawn)
            share, error = (100 * each for each in found)
            bench.figure(
                f"{of_a_state} studies of a state", f"that chose among {epochs} epochs", share, "%",
                note=f"± {error:.1f}",
            )  # fmt: skip
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())

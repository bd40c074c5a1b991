"""The pointing game: does the hottest place of a heat map lie on what was to be found?

Networks are trained from nothing on phantoms, whose lesions are known voxel by voxel, and asked about others:
60 with exactly one nodule (or embolus) and 60 without. A map hits when its hottest voxel lies within the
lesion grown by 10 mm (Zhang et al., Top-down neural attention by excitation backprop, IJCV 2018, with 15
pixels; here in mm). Beside the hits stand what they have to be better than:

- chance: the share of the body's, and of the lungs', voxels that would hit;
- a map of another study: its hottest place at the same share of this volume's extent, which tells a network
  that knows where lesions lie from one that sees this one;
- the same network with random weights (Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018).

A network whose AUROC shows that it did not learn to find the lesion has nothing to point at: its figures are
printed, and judged by nothing.

    python benchmarks/pointing_game.py                      trains who learns within minutes, and plays
    python benchmarks/pointing_game.py nodule_tiny          one of them
    python benchmarks/pointing_game.py --folder DIR         keeps models and phantoms, or takes those there
    python benchmarks/pointing_game.py --methods            also other methods, beside the one that is used
    python benchmarks/pointing_game.py --quick              `tiny` on nodules, 20 and 20 studies
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Before torch is loaded: its threads otherwise spin while they wait, and a training comes to a standstill.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from numpy.typing import NDArray
from pointing_methods import COMPARED, Way
from pointing_players import PLAYERS, QUICK, USUAL_PLAYERS, HeldOut, Player, held_out
from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt, label
from side_by_side import SideBySide, Target, parser

from vpt_plugin.ct.volume import Volume
from vpt_plugin.inference import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.device import keep_freed_memory
from vpt_plugin.training.calibration import wilson_interval
from vpt_plugin.training.metrics import bootstrap_auroc

TOLERANCE_MM = 10.0
STUDIES, QUICK_STUDIES = 60, 20
# Below, a network did not learn to find lesions, and where it looks is nobody's concern.
LEARNED_AUROC = 0.85
HITS, BY_CHANCE = Target(at_least=50), Target(at_most=15)
_ALWAYS = ("trained", "random weights")
_BODY_HU, _LUNG_HU = -300, -500
_WHO = f"of {', '.join(PLAYERS)}; by default {', '.join(USUAL_PLAYERS)}"


@dataclass(frozen=True)
class Pointed:
    """Where the maps of one study with a lesion point.

    Attributes:
        miss_mm: by way, from the hottest voxel to the lesion; infinite where the map is empty.
        place: by way, the hottest voxel as a share of the volume's extent; None where the map is empty.
        chance: by region, the share of its voxels within the grown lesion.
    """

    miss_mm: Mapping[str, float]
    place: Mapping[str, tuple[float, ...] | None]
    chance: Mapping[str, float]


@dataclass(frozen=True)
class Game:
    """What came out of all studies of a player; probabilities and truths are of all of them."""

    pointed: Sequence[Pointed]
    elsewhere: Sequence[float]
    probabilities: Sequence[float]
    truths: Sequence[bool]

    def hits(self, way: str, tolerance_mm: float = TOLERANCE_MM) -> NDArray[np.bool_]:
        """Whether each map of a way hits."""
        return np.array([each.miss_mm[way] <= tolerance_mm for each in self.pointed])

    def chance(self, region: str) -> float:
        """The mean share of a region's voxels that would hit."""
        return float(np.mean([each.chance[region] for each in self.pointed]))


def distance_mm(lesion: NDArray[np.bool_], volume: Volume) -> NDArray[np.float64]:
    """How far every voxel's centre lies from the nearest voxel of the lesion; 0 inside."""
    return np.asarray(distance_transform_edt(~lesion, sampling=volume.spacing_mm))


def regions(hu: NDArray[np.int16], lesion: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """The body, and the lungs with their vessels and the lesion."""
    parts, _ = label(hu > _BODY_HU)
    largest = int(np.bincount(parts[parts > 0]).argmax())
    body = np.stack([binary_fill_holes(each) for each in parts == largest])
    lungs = np.stack([binary_closing(each, iterations=2) for each in body & (hu < _LUNG_HU)])
    return {"body": body, "lungs": (lungs & body) | lesion}


def point(study: HeldOut, ways: Mapping[str, Way]) -> Pointed:
    """Ask every way for its map of a study with a lesion."""
    assert study.lesion is not None
    away = distance_mm(study.lesion, study.volume)
    miss: dict[str, float] = {}
    place: dict[str, tuple[float, ...] | None] = {}
    for name, way in ways.items():
        voxel = way.hottest(study.volume)
        if voxel is None:
            miss[name], place[name] = float("inf"), None
            continue
        miss[name] = float(away[voxel])
        place[name] = tuple((at + 0.5) / size for at, size in zip(voxel, away.shape, strict=True))
    within = away <= TOLERANCE_MM
    inside = regions(study.volume.hu, study.lesion)
    return Pointed(miss, place, {name: float(within[each].mean()) for name, each in inside.items()})


def play(studies: Iterable[HeldOut], ways: Mapping[str, Way]) -> Game:
    """All studies; the first way is the one whose answers and places count."""
    first = next(iter(ways))
    pointed: list[Pointed] = []
    elsewhere: list[float] = []
    probabilities, truths = [], []
    for study in studies:
        probabilities.append(ways[first].predictor.predict(study.volume).findings[0].probability)
        truths.append(study.lesion is not None)
        if study.lesion is None:
            continue
        before = pointed[-1].place[first] if pointed else None
        pointed.append(point(study, ways))
        if before is not None:
            shape = study.lesion.shape
            there = tuple(int(share * size) for share, size in zip(before, shape, strict=True))
            elsewhere.append(float(distance_mm(study.lesion, study.volume)[there]))
    return Game(pointed, elsewhere, probabilities, truths)


def random_weights(classifier: Classifier) -> Classifier:
    """The same network, never trained."""
    return new_classifier(classifier.spec, classifier.findings, seed=1)


def ways_of(player: Player, classifier: Classifier, card: ModelCard, *, compared: bool) -> dict[str, Way]:
    """The trained network by the method that is used, with random weights, and by other methods."""
    trained, untrained = (
        Predictor(each, player.reading_task, card, backend="torch", precision="float32")
        for each in (classifier, random_weights(classifier))
    )
    others = [Way(trained, methods) for methods in COMPARED] if compared else []
    always = dict(zip(_ALWAYS, (Way(trained), Way(untrained)), strict=True))
    return always | {str(way): way for way in others}


def tell(bench: SideBySide, player: Player, game: Game, others: Iterable[str]) -> None:
    """The rows of one player; targets only where it learned."""
    auroc = bootstrap_auroc(game.truths, game.probabilities)
    learned = auroc.value >= LEARNED_AUROC
    low, high = auroc.ci95
    note = f"{low:.3f} to {high:.3f}" + ("" if learned else "; did not learn, so nothing is judged")
    bench.figure(player.name, f"AUROC, {len(game.truths)} studies", auroc.value, "", note=note)
    _share(bench, player, "hits", game.hits("trained"), HITS if learned else None)
    _share(bench, player, "hits in the lesion itself", game.hits("trained", 0.0))
    target = BY_CHANCE if learned else None
    _share(bench, player, "random weights", game.hits("random weights"), target)
    _share(bench, player, "another study's place", np.array(game.elsewhere) <= TOLERANCE_MM, target)
    for region in ("lungs", "body"):
        bench.figure(player.name, f"chance, a voxel of the {region}", 100 * game.chance(region), "%")
    for way in others:
        _share(bench, player, way, game.hits(way))


def _share(
    bench: SideBySide, player: Player, way: str, hits: NDArray[np.bool_], target: Target | None = None
) -> None:
    low, high = wilson_interval(float(hits.sum()), len(hits))
    note = f"{hits.sum()} of {len(hits)}, {100 * low:.0f} to {100 * high:.0f} %"
    bench.figure(player.name, way, 100 * float(hits.mean()), "%", target=target, note=note)


def main(argv: Sequence[str] | None = None) -> int:
    """Train who is not trained, and play."""
    options = parser(__doc__)
    options.add_argument("players", nargs="*", metavar="PLAYER", help=_WHO)
    options.add_argument("--folder", type=Path, help="keeps models and phantoms; takes those that are there")
    options.add_argument("--methods", action="store_true", help="compare the ways of making maps")
    options.add_argument("--picture", type=Path, help="a PNG of maps beside the truth, of the first player")
    arguments = options.parse_args(argv)
    if unknown := set(arguments.players) - set(PLAYERS):
        options.error(f"no such player: {', '.join(sorted(unknown))}; choose from {', '.join(PLAYERS)}")
    named = [PLAYERS[name] for name in arguments.players or USUAL_PLAYERS]
    chosen = [QUICK] if arguments.quick else named
    bench = SideBySide("pointing_game", "the hottest place of a heat map, and the lesion")
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        for player in chosen:
            classifier, card = player.trained(folder, lambda line: print(line, flush=True))
            ways = ways_of(player, classifier, card, compared=arguments.methods)
            count = QUICK_STUDIES if arguments.quick else STUDIES
            others = [each for each in ways if each not in _ALWAYS]
            tell(bench, player, play(held_out(player, count), ways), others)
            if arguments.picture and player is chosen[0]:
                from pointing_picture import draw

                draw(arguments.picture, player, ways["trained"].predictor, held_out(player, count))
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())

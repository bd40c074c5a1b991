"""Is a study like those the network was trained on? Its features' distance to theirs.

A network answers whatever it is shown. What it has learned to see, its features before the head, lie for
studies of another kind elsewhere than for those of its training. A Gaussian is laid over the training
studies' features, and the distance of a study from its centre is measured in its standard deviations
(Mahalanobis). There are fewer studies than features, so it is one whose covariance is known along the few
directions in which the studies differ most and taken to be the same in all others: probabilistic PCA. What
of a study lies outside of those directions counts as much as what lies within.

The threshold comes from studies that the network did not learn from, so that a rare one of them lies beyond.
Of a patient one study counts: two of one patient are too alike to say what another patient's is like.

Only sums over many studies are kept: no study, and nothing of a single one.

Sources: Tipping & Bishop, J R Stat Soc B 1999 (probabilistic PCA); Lee et al., NeurIPS 2018 (Mahalanobis
distance of features); Ndiour et al., arXiv 2012.04250 (their residual); the threshold as a conformal
p-value: Laxhammar & Falkman, Ann Math Artif Intell 2015.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from vpt_plugin.ct.suitability.verdict import DOUBTFUL, FITS, UNKNOWN, Check, Distance
from vpt_plugin.errors import ChecksumError, ModelCardError, WeightsError, WeightsNotFoundError

_WAY_OUT = "Copy it again from where it was published, or measure it anew: vpt versions check-evidence."
SCHEMA = "vptct.typicality/1"
CHECK = "features"
# Of the studies that the network knows, one of fifty may be called unlike them.
PERCENTILE = 0.98
# Of fewer studies neither the directions nor the threshold mean anything.
LEAST_STUDIES = 10
# So many studies per direction: fewer would tell of single studies.
_STUDIES_PER_DIRECTION = 4
_MOST_DIRECTIONS = 32

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureGaussian:
    """What the features of some studies are like.

    Attributes:
        mean: (features,).
        directions: (directions, features), orthonormal, in which they differ most.
        variances: (directions,), along those.
        rest: variance per feature in all other directions.
    """

    mean: Floats
    directions: Floats
    variances: Floats
    rest: float

    @classmethod
    def of(cls, features: Floats) -> FeatureGaussian:
        """The Gaussian of studies, (studies, features)."""
        studies, width = features.shape
        mean = features.mean(axis=0)
        _, singular, rows = np.linalg.svd(features - mean, full_matrices=False)
        variances = singular**2 / (studies - 1)
        kept = max(1, min(_MOST_DIRECTIONS, studies // _STUDIES_PER_DIRECTION, width - 1))
        # What equals all others in training must not lie infinitely far away after a rounding.
        least = max(1e-6 * float(variances.sum()) / width, 1e-12)
        rest = max(float(variances[kept:].sum()) / max(1, width - kept), least)
        # The largest variances of a sample are too large and its smallest too small: towards their mean, the
        # more the fewer studies there are for each (the idea of Ledoit & Wolf, J Multivar Anal 2004).
        weight = kept / (kept + studies)
        shrunk = (1 - weight) * variances[:kept] + weight * variances[:kept].mean()
        return cls(mean, rows[:kept], np.maximum(shrunk, rest), rest)

    def distances(self, features: Floats) -> Floats:
        """(studies, features) -> (studies,), in standard deviations per feature from the mean; 1 is usual."""
        apart = features - self.mean
        along = apart @ self.directions.T
        outside = np.maximum((apart**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        squared = (along**2 / self.variances).sum(axis=1) + outside / self.rest
        return np.asarray(np.sqrt(squared / apart.shape[1]), dtype=np.float64)


@dataclass(frozen=True)
class FeatureReference:
    """What the training studies' features are like, and how far from them is far.

    Attributes:
        gaussian: of the training studies.
        threshold: a distance above it is that of a study unlike those.
        percentile: of the distances of studies of the same source at which the threshold stands.
        trained, studies: how many made the Gaussian, and how many the threshold; each of another patient.
        crosswise: whether the studies of the threshold are those of the training, each measured from what the
            others are like; else they are validation studies.
    """

    gaussian: FeatureGaussian
    threshold: float
    percentile: float
    trained: int
    studies: int
    crosswise: bool = False

    @property
    def within(self) -> str:
        """Which studies lie within the threshold, in words: ``all but 3 of the 199 validation studies``."""
        beyond = self.studies - round(self.percentile * (self.studies + 1))
        whose = "training" if self.crosswise else "validation"
        return f"all {f'but {beyond} of the ' if beyond else ''}{self.studies} {whose} studies"

    @property
    def in_vain(self) -> str:
        """How many studies of the same source are called unlike them, in words."""
        told = f"of studies like those about 1 in {1 / (1 - self.percentile):.0f} is called so in vain"
        return f"{told}, as far as studies that the network learned from can show" if self.crosswise else told

    def distance(self, clip_features: NDArray[np.float32]) -> Distance:
        """Of one study.

        Args:
            clip_features: (clips, features), of all clips of the task's stride.
        """
        value = float(self.gaussian.distances(study_features(clip_features)[np.newaxis])[0])
        return Distance(value, self.threshold, self.percentile, self.studies)

    def to_bytes(self) -> bytes:
        """As safetensors, the same bytes for the same numbers; their SHA-256 stands on the version's card."""
        arrays = {
            "mean": self.gaussian.mean,
            "directions": self.gaussian.directions,
            "variances": self.gaussian.variances,
            "numbers": np.array([self.gaussian.rest, self.threshold, self.percentile]),
            "counts": np.array([self.trained, self.studies, self.crosswise], dtype=np.int64),
        }
        return safetensors.numpy.save(arrays, {"schema": SCHEMA})

    @property
    def sha256(self) -> str:
        """Of ``to_bytes``."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def from_bytes(cls, content: bytes) -> FeatureReference:
        """What ``to_bytes`` wrote.

        Raises:
            SafetensorError, KeyError, ValueError: it is none, or its numbers do not fit each other.
        """
        arrays = safetensors.numpy.load(content)
        mean, directions, variances = (arrays[name] for name in ("mean", "directions", "variances"))
        rest, threshold, percentile = map(float, arrays["numbers"])
        trained, studies, crosswise = map(int, arrays["counts"])
        if directions.shape != (len(variances), len(mean)):
            raise ValueError("its numbers do not fit each other")
        gaussian = FeatureGaussian(mean, directions, variances, rest)
        return cls(gaussian, threshold, percentile, trained, studies, bool(crosswise))

    @classmethod
    def read(cls, folder: Path, sha256: str) -> FeatureReference | None:
        """What lies in the folder of a version.

        Args:
            folder: of the version.
            sha256: of the file, as the version's card has it; "" where nothing was measured.

        Raises:
            ModelCardError: ``sha256`` is none.
            WeightsNotFoundError: it is not there.
            ChecksumError: it is not the one of the card.
            WeightsError: it cannot be read.
        """
        if not sha256:
            return None
        path = folder / reference_file(sha256)
        try:
            content = path.read_bytes()
            if (found := hashlib.sha256(content).hexdigest()) != sha256:
                raise ChecksumError(f"{path} has the SHA-256 {found}, in the card it is {sha256}.", _WAY_OUT)
            return cls.from_bytes(content)
        except FileNotFoundError as error:
            raise WeightsNotFoundError(f"{path} is not there.", _WAY_OUT) from error
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise WeightsError(f"{path}: it cannot be read: {error}.", _WAY_OUT) from error


@dataclass(frozen=True)
class LostReference:
    """A reference that the card tells of and that cannot be had; answers come without it, and say so.

    Attributes:
        why: what is wrong with it, for a reader of answers; without the folder, which may be the server's.
    """

    why: str

    @classmethod
    def of(cls, error: WeightsError, sha256: str) -> LostReference:
        """What ``FeatureReference.read`` could not read."""
        wrong = "is missing" if isinstance(error, WeightsNotFoundError) else "is damaged"
        return cls(f"the version's file typicality-{str(sha256)[:16]} {wrong}")


# As a version has it; None where it was not measured.
KeptReference = FeatureReference | LostReference | None


def reference_file(sha256: str) -> str:
    """What the file of a reference is called beside a version.

    One that is measured anew has another name, so that whoever holds a card finds its file or none, and never
    that of another card.

    Args:
        sha256: of the file, as the card has it; it may come from elsewhere.

    Raises:
        ModelCardError: it is no SHA-256.
    """
    if not (isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)):
        raise ModelCardError(f"{sha256!r:.80}, in the model card, is no SHA-256.", _WAY_OUT)
    return f"typicality-{sha256[:16]}.safetensors"


def study_features(clip_features: NDArray[np.float32]) -> Floats:
    """The features of a study: the mean over its clips, (clips, features) -> (features,)."""
    return np.asarray(clip_features.mean(axis=0, dtype=np.float64))


def fit_reference(trained: Floats, held_out: Floats) -> FeatureReference | None:
    """What the training studies are like, with a threshold from others; None of too few of either.

    Args:
        trained: (studies, features), of those the network learned from, one per patient.
        held_out: (studies, features), of other patients from the same source, one per patient.
    """
    if min(len(trained), len(held_out)) < LEAST_STUDIES:
        return None
    gaussian = FeatureGaussian.of(trained)
    return _with_threshold(gaussian, len(trained), gaussian.distances(held_out))


def fit_reference_crosswise(studies: Floats, parts: int = 5) -> FeatureReference | None:
    """The same where all studies were learned from: each part is measured from what the others are like.

    Args:
        studies: (studies, features), one per patient, so that no patient is on both sides of a part; in no
            telling order.
        parts: how many.
    """
    if len(studies) < 2 * LEAST_STUDIES:
        return None
    part = np.arange(len(studies)) % parts
    distances = np.empty(len(studies))
    for each in range(parts):
        others = FeatureGaussian.of(studies[part != each])
        distances[part == each] = others.distances(studies[part == each])
    return _with_threshold(FeatureGaussian.of(studies), len(studies), distances, crosswise=True)


def check_features(
    reference: KeptReference, clip_features: NDArray[np.float32] | None
) -> tuple[tuple[Check], Distance | None]:
    """What can be said of whether a study is like those that the network knows.

    Args:
        reference: what those are like; None where nobody knows.
        clip_features: (clips, features), of all clips of the task's stride; None where not all of them were
            looked at.
    """
    if reference is None:
        why = "the features of those were not kept with this version"
    elif isinstance(reference, LostReference):
        why = reference.why
    elif clip_features is None:
        why = "it was read coarse to fine, which takes other clips"
    else:
        distance = reference.distance(clip_features)
        return (_check_of(distance, reference),), distance
    sentence = f"whether this study looks to the network like those it was trained on is not known: {why}"
    return (Check(CHECK, UNKNOWN, sentence),), None


def _check_of(distance: Distance, reference: FeatureReference) -> Check:
    if distance.value <= distance.threshold:
        sentence = "this study looks to the network like those it was trained on"
        return Check(CHECK, FITS, sentence, distance.value)
    sentence = (
        "this study looks to the network unlike those it was trained on: its features lie "
        f"{distance.value:.2f} standard deviations from theirs, while {reference.within} lie within "
        f"{distance.threshold:.2f}; {reference.in_vain}"
    )
    return Check(CHECK, DOUBTFUL, sentence, distance.value)


def _with_threshold(
    gaussian: FeatureGaussian, trained: int, distances: Floats, *, crosswise: bool = False
) -> FeatureReference:
    """A study like these lies beyond the threshold with a chance of 1 - ``percentile``.

    Of fewer than 99 that is their largest distance, and a chance of 1 / (n + 1).
    """
    studies = len(distances)
    rank = min(studies, math.ceil(PERCENTILE * (studies + 1)))
    threshold = float(np.sort(distances)[rank - 1])
    return FeatureReference(gaussian, threshold, rank / (studies + 1), trained, studies, crosswise)

"""The differences that the experiment is about, each with a paired interval and in words.

A difference of two rows of one table is paired: both were computed in the same resamples of the test
patients, and a patient who is hard is hard for both. The mean over networks is taken within each resample.
Published rows have no resamples, so the interval of a difference of theirs is not known: it cannot be had of
the two intervals, because they say nothing of what the two networks got wrong together.

What such an interval covers is the chance of the test patients alone. That another training, of another seed,
gives another network comes on top; the seeds of a row show how much.
"""

from __future__ import annotations

from dataclasses import dataclass

from vpt_plugin.models.card import Estimate
from vpt_plugin.study.rows import Source

CLAIMS = ("video_gain", "gain_over_ct", "ct_after_video", "best_3d_over_best_2d")


@dataclass(frozen=True)
class Difference:
    """How far one result is ahead of another.

    Attributes:
        claim: of ``CLAIMS``.
        what: what is compared, in words.
        dataset, finding, percent, source: as of the rows.
        kind: ``2d`` or ``3d`` of the networks; "" where one of each is compared.
        networks: that it is over: one; several for their mean; the 3D and the 2D one for the best of each.
        arm: of the result that is expected to be better.
        better, worse: what they are, in words; "better" is what is asked to be, whatever came out.
        better_auroc, worse_auroc: their AUROCs.
        gain: of the first over the second, below 0 where it is the other way round.
        share: of the resamples, those whose gain is above 0; nan where there are none.
        patients: of the test side, that were resampled; 0 where that is not known.
        note: what a reader must know; "" where there is nothing.
    """

    claim: str
    what: str
    dataset: str
    finding: str
    percent: float
    source: Source
    kind: str
    networks: tuple[str, ...]
    arm: str
    better: str
    worse: str
    better_auroc: Estimate
    worse_auroc: Estimate
    gain: Estimate
    share: float
    patients: int
    note: str = ""

    @property
    def is_mean(self) -> bool:
        """Whether it is of a mean over networks."""
        return self.claim != "best_3d_over_best_2d" and len(self.networks) > 1

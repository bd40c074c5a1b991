"""Which side of the split a patient is on: training, validation or test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SplitShares:
    """How much of the patients goes to each side; the shares add up to 1. The default is the paper's."""

    train: float = 0.70
    validation: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"the shares must be at least 0 and add up to 1, not {shares}")


def split_of(patient: str, *, shares: SplitShares | None = None) -> str:
    """The side of a patient: ``train``, ``validation`` or ``test``.

    The patient's name alone decides, through a hash. So a patient stays where he is when others are added,
    when he comes back with another study and when a label is corrected, and no list has to be kept. The hash
    knows nothing of the labels, so every state is divided in the same shares but for chance; finetuning
    refuses a side that was left without one of the states.
    """
    shares = shares or SplitShares()
    digest = hashlib.sha256(f"vptct.split/1\n{patient}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < shares.train:
        return "train"
    return "validation" if place < shares.train + shares.validation else "test"

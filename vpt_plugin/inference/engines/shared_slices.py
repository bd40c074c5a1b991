"""SharedSlices: the features of overlapping clips, with what they have in common computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import ref

import torch
from torch import Tensor

Part = Callable[[Tensor], Tensor]
# On the CPU the maps of eight slices mostly stay where they need not be faulted in anew, and eight divide the
# usual strides. A GPU is not filled by fewer slices than a clip.
SLICES_AT_ONCE = 8


@dataclass(frozen=True)
class _Kept:
    """The maps of the slices from ``first`` on, of the study whose slices are ``of``."""

    of: ref[Tensor]
    first: int
    maps: Tensor


class SharedSlices:
    """A network in two parts that sees every slice of a study once, as long as clips follow each other.

    What is kept is the maps of one clip; they go with the slices of their study. A clip that does not overlap
    the one before is computed whole.

    Args:
        trunk: looks at every slice by itself: (1, 1, slices, rows, columns) to maps (1, channels, slices,
            rows, columns), for any number of slices.
        rest: maps of clips to features (clips, features).
        scale: slices as they are kept, (slices, rows, columns), to what the trunk takes.
        length: slices of a clip.
        at_once: so many slices at most go through the trunk together.
    """

    def __init__(self, trunk: Part, rest: Part, scale: Part, *, length: int, at_once: int) -> None:
        self._trunk = trunk
        self._rest = rest
        self._scale = scale
        self._length = length
        self._at_once = at_once
        self._kept: _Kept | None = None

    @property
    def bytes_kept(self) -> int:
        """The memory that is held between two calls."""
        return 0 if self._kept is None else self._kept.maps.nbytes

    def features(self, slices: Tensor, starts: Sequence[int]) -> Tensor:
        """The vectors before the head of some clips.

        Args:
            slices: of one study, at least one clip long; the same tensor for all its clips. What it holds
                must not change in place as long as it is asked for: its maps would still be the old ones.
            starts: the clips' first slices.

        Returns:
            (clips, features).
        """
        maps = [self._clip_maps(slices, start) for start in starts]
        return self._rest(maps[0] if len(maps) == 1 else torch.cat(maps))

    def _clip_maps(self, slices: Tensor, start: int) -> Tensor:
        kept, end = self._kept, start + self._length
        parts: list[Tensor] = []
        if kept is not None and kept.of() is slices and 0 <= start - kept.first < self._length:
            parts = [kept.maps[:, :, start - kept.first :]]
        # What is not needed any more makes room for the new ones.
        self._kept = kept = None
        first_new = start + sum(each.shape[2] for each in parts)
        for first in range(first_new, end, self._at_once):
            parts.append(self._trunk(self._scale(slices[first : min(first + self._at_once, end)])))
        maps = torch.cat(parts, dim=2)
        self._kept = _Kept(ref(slices, self._forget), start, maps)
        return maps

    def _forget(self, gone: ref[Tensor]) -> None:
        """A study's slices are gone, so nobody asks for its clips any more."""
        kept = self._kept
        if kept is not None and kept.of is gone:
            self._kept = None

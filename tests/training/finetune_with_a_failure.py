"""``vpt``, run by torchrun for ``test_several_processes``: the second process cannot read its seventh bag."""

from __future__ import annotations

import os

from vpt_plugin.cli import main
from vpt_plugin.data.bags import Item, TrainingBags
from vpt_plugin.errors import UnreadableStudyError

read = TrainingBags.__getitem__
seen = 0


def fail_at_the_seventh(bags: TrainingBags, index: int) -> Item:
    global seen
    seen += 1
    if seen == 7:
        raise UnreadableStudyError("study-003", "the disk does not answer.")
    return read(bags, index)


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        TrainingBags.__getitem__ = fail_at_the_seventh  # type: ignore[method-assign]
    main()

"""Blind reading: who reads a study for the second time sees neither answer nor labels before their own."""

from __future__ import annotations

from .held import SECOND
from .held_studies import HeldStudies
from .next_studies import NextStudies
from .server_volumes import ServerVolumes


def is_read_blind(held: HeldStudies, next_studies: NextStudies, volumes: ServerVolumes) -> bool:
    """Whether this reader was given the study on screen for a second reading, and has not labelled it yet.

    Also while that is not known, as for a moment when the server is back: what was seen cannot be unseen.

    Args:
        held: what this reader holds, also from earlier, when there was another scene.
        next_studies: what was proposed, and for which task.
        volumes: say which study of the server is on screen.
    """
    study = volumes.on_screen
    if not study:
        return False
    proposal = next_studies.proposal
    if proposal is not None:
        return proposal.reading == SECOND
    if held.is_awaited:
        return True
    here = held.of(study)
    return here is not None and (here.task, here.reading) == (next_studies.task, SECOND)

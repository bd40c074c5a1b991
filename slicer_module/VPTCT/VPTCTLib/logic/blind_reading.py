"""Blind reading: who reads a study for the second time sees neither answer nor labels before their own."""

from __future__ import annotations

from .next_studies import NextStudies
from .server_volumes import ServerVolumes

SECOND = "second"


def is_read_blind(next_studies: NextStudies, volumes: ServerVolumes) -> bool:
    """Whether this reader was given the study on screen for a second reading, and has not labelled it yet.

    Args:
        next_studies: what was proposed, and what is held from earlier, when there was another scene.
        volumes: say which study of the server is on screen.
    """
    proposal = next_studies.proposal
    if proposal is not None:
        return proposal.reading == SECOND
    here = (volumes.on_screen, next_studies.task, SECOND)
    return any((each.study, each.task, each.reading) == here for each in next_studies.held)

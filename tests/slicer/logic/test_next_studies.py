"""The next study: asked for, fetched, shown, skipped and given back, with a real server and a real scene."""

from __future__ import annotations

import pytest


@pytest.fixture
def ben(reader):
    reader.log_in("ben")
    reader.wait()
    return reader


def bring(reader, strategy: str = "random") -> str:
    """Ask for a study and wait until it is on the screen; its id."""
    next_studies = reader.desk.next_studies
    next_studies.ask(strategy)
    reader.ticker.until(lambda: next_studies.state == "idle")
    reader.wait()
    return next_studies.proposal.study


def test_the_next_study_comes_to_the_screen(ben) -> None:
    next_studies, seen = ben.desk.next_studies, []
    next_studies.changed.connect(lambda: seen.append(next_studies.state))
    study = bring(ben)
    assert list(dict.fromkeys(seen)) == ["asking", "downloading", "loading", "idle"]
    volume = ben.desk.study.volume
    assert (volume.GetName(), volume.GetImageData().GetDimensions()[:2]) == (study, (48, 48))
    assert (ben.desk.study.study, next_studies.is_kept) == (study, True)
    assert [held.study for held in next_studies.held] == [study]
    assert next_studies.proposal.why
    assert next_studies.label_version_of(study) == 0
    assert list(ben.desk.scratch_folder.iterdir()) == []
    next_studies.give_back()
    ben.wait()

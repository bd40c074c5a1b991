"""A study that is none for the network is refused, and answered all the same where the reader wants that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from standin.wheel import require_scene

slicer = require_scene()

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def abdomen(reader: Any, open_study: Any) -> Any:
    """A body of tissue all through, with air around it alone."""
    reader.log_in()
    volume = open_study("abdomen")
    voxels = slicer.util.arrayFromVolume(volume)
    voxels[:] = -1000
    voxels[:, 8:40, 8:40] = 40
    slicer.util.arrayFromVolumeModified(volume)
    return volume


def classified(reader: Any, *, explain: bool = False) -> Any:
    """Click, and wait until nothing is asked or computed."""
    classification = reader.desk.classification
    reader.ticker.until(lambda: classification.can_start == "")
    classification.start(explain=explain)
    reader.ticker.until(lambda: classification.state == "idle")
    reader.wait()
    reader.ticker.until(lambda: classification.state == "idle")
    return classification.result


def test_it_is_refused_in_the_servers_words_and_stays_so_where_the_reader_says_no(
    reader: Any, abdomen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader.answers, "confirm", lambda *asked: reader.answers.asked.append(asked[0]))
    assert classified(reader) is None
    assert "Have it answered all the same?" in reader.answers.asked
    assert "lung" in reader.told


@pytest.mark.parametrize("explain", [False, True])
def test_who_wants_it_all_the_same_gets_an_answer_that_is_unsure(
    reader: Any, abdomen: Any, explain: bool
) -> None:
    result = classified(reader, explain=explain)
    assert result is not None, reader.told
    assert result.suitability.verdict == "unfit"
    assert result.settled() == {"lung_nodule": None}
    assert any("lung" in warning for warning in result.warnings)
    assert (result.heat_map is not None) == explain
    assert np.isfinite(result.findings[0].probability)


@pytest.mark.parametrize("what", ["changed", "removed", "left"])
def test_who_wants_it_all_the_same_gets_none_of_what_became_another_volume_meanwhile(
    reader: Any, abdomen: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def confirm(*asked: str) -> bool:
        if what == "changed":
            slicer.util.arrayFromVolume(abdomen)[0] = 0
            slicer.util.arrayFromVolumeModified(abdomen)
        elif what == "removed":
            abdomen.GetScene().RemoveNode(abdomen)
        else:
            reader.desk.server.disconnect()
        asked_again.append(len(reader.site.relay.asked))
        return True

    asked_again: list[int] = []
    monkeypatch.setattr(reader.answers, "confirm", confirm)
    assert classified(reader) is None
    assert len(asked_again) == 1
    assert not any(line.startswith("POST /infer/") for line in reader.site.relay.asked[asked_again[0] :])

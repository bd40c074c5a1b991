"""What was said about a study before: versions, labels that were set aside, and what nobody may see yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from shown_volume import show
from standin.wheel import require_scene

require_scene()

from VPTCTLib.contract.label import DamagedVersion, FindingLabel, LabelHistory, StudyLabel
from VPTCTLib.logic.blind_reading import is_read_blind
from VPTCTLib.logic.held import Held
from VPTCTLib.logic.label_history import History, history_rows
from VPTCTLib.logic.label_words import label_in_words

PRESENT = StudyLabel(
    "nodule", {"lung_nodule": FindingLabel("present", ((-20.5, 11.0),))}, seconds_spent=74, comment="faint"
)
ABSENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("absent", None, "probable")})


def test_the_history_is_of_the_study_on_screen_newest_first(reader: Any) -> None:
    study, other = reader.site.new_study(), reader.site.new_study()
    reader.site.client("ben").labels.save(study, PRESENT, if_version=0)
    reader.site.client("anna").labels.save(study, ABSENT, if_version=1)
    reader.log_in()
    show(reader, study)
    rows = reader.desk.history.rows
    assert [(row.version, row.annotator, row.seconds_spent, row.counts) for row in rows] == [
        (2, "anna", 0, True),
        (1, "ben", 74, False),
    ]
    assert reader.desk.history.newest_version == 2
    show(reader, other)
    assert (reader.desk.history.rows, reader.desk.history.newest_version) == ((), 0)


def test_a_label_upon_a_version_that_the_reader_has_seen_is_no_conflict(reader: Any) -> None:
    study = reader.site.new_study()
    reader.site.client("ben").labels.save(study, PRESENT, if_version=0)
    reader.log_in()
    show(reader, study)
    reader.desk.draft.set_state("lung_nodule", "absent")
    reader.desk.submission.submit()
    reader.wait()
    assert [row.annotator for row in reader.desk.history.rows] == ["anna", "ben"]


def test_a_label_that_was_set_aside_is_in_the_history_too(reader: Any) -> None:
    study = reader.site.new_study()
    reader.log_in()
    show(reader, study)
    reader.site.client("ben").labels.save(study, PRESENT, if_version=0)
    reader.desk.draft.set_state("lung_nodule", "absent")
    reader.desk.submission.submit()
    reader.wait()
    reader.desk.history.refresh()
    reader.wait()
    newest, aside = reader.desk.history.rows
    assert (newest.version, newest.annotator, newest.counts) == (1, "ben", True)
    assert (aside.version, aside.annotator, aside.counts) == (None, "anna", False)
    assert aside.note == "Set aside: meant upon version 0, when version 1 was there."


def test_for_a_second_reading_nothing_is_even_asked(reader: Any) -> None:
    study, desk, blind = reader.site.new_study(), reader.desk, [True]
    reader.site.client("ben").labels.save(study, PRESENT, if_version=0)
    history = History(
        desk.server, desk.study, desk.choice, desk.kept_labels, desk.jobs, desk.messages, lambda: blind[0]
    )
    reader.log_in()
    show(reader, study)
    assert (history.hidden, history.labels, history.newest_version) == (True, None, None)
    blind[0] = False
    history.follow()
    reader.wait()
    assert (history.hidden, history.newest_version) == (False, 1)


@pytest.mark.parametrize(
    ("proposed", "held", "blind"),
    [
        (None, None, False),
        ("first", None, False),
        ("second", None, True),
        # The module was reloaded: nothing was proposed since, but the study is still in this reader's hands.
        (None, "second", True),
        (None, "first", False),
    ],
)
def test_a_second_reading_is_blind(proposed: str | None, held: str | None, blind: bool) -> None:
    next_studies = SimpleNamespace(
        proposal=None if proposed is None else SimpleNamespace(reading=proposed),
        task="pe",
    )
    lent = {} if held is None else {"s1": Held("s1", "pe", held, ""), "s2": Held("s2", "pe", "second", "")}
    holds = SimpleNamespace(of=lent.get, is_awaited=False)
    assert is_read_blind(holds, next_studies, SimpleNamespace(on_screen="s1")) is blind


def test_a_damaged_version_is_shown_as_such_and_counts_as_the_newest() -> None:
    (row,) = history_rows(LabelHistory("s", "nodule", (), (), (DamagedVersion(3, "it is cut off."),)))
    assert (row.version, row.label, row.counts, row.note) == (3, None, True, "it is cut off.")


def test_labels_in_words_have_their_units() -> None:
    assert label_in_words(PRESENT) == "Lung nodule: present, z \u221220.5 to 11.0 mm\n“faint”"
    assert label_in_words(ABSENT) == "Lung nodule: absent, probable"

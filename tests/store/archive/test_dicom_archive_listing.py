"""Which series of an archive are studies, from a real Orthanc; and how rarely it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_bench import QUICK, Rude, Series, eventually, value, write_series
from orthanc_process import OrthancProcess

from vpt_plugin.errors import ArchiveUnreachableError, ConfigurationError, StudyNotFoundError
from vpt_plugin.store.archive import DicomArchive, SeriesFilter

ArchiveAt = Callable[..., DicomArchive]


@pytest.fixture(scope="module")
def filled(
    new_orthanc: Callable[..., OrthancProcess], tmp_path_factory: pytest.TempPathFactory
) -> tuple[OrthancProcess, dict[str, Series]]:
    """An Orthanc with three CTs and one MR."""
    folder = tmp_path_factory.mktemp("series")
    wanted = {
        "thin": {"StudyDate": "20200115", "SeriesDescription": "Thorax 1.0 Lunge"},
        "thick": {"StudyDate": "20211231", "SeriesDescription": "THORAX 5.0 WT"},
        "old": {"StudyDate": "19991231", "SeriesDescription": ""},
        "head": {"StudyDate": "20200115", "Modality": "MR"},
    }
    series = {name: write_series(folder, name, slices=2, **values) for name, values in wanted.items()}
    orthanc = new_orthanc()
    orthanc.put(path for each in series.values() for path in each.files.values())
    return orthanc, series


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (SeriesFilter(), ["old", "thick", "thin"]),
        (SeriesFilter(modality="MR"), ["head"]),
        (SeriesFilter(modality="PT"), []),
        (SeriesFilter(date_from="20200115"), ["thick", "thin"]),
        (SeriesFilter(date_to="20200115"), ["old", "thin"]),
        (SeriesFilter(date_from="20200115", date_to="20201231"), ["thin"]),
        (SeriesFilter(description="thorax*"), ["thick", "thin"]),
        (SeriesFilter(description="* 1.? *"), ["thin"]),
        (SeriesFilter(description="Thorax"), []),
    ],
)
def test_series_are_chosen_by_modality_date_and_description(
    filled: tuple[OrthancProcess, dict[str, Series]],
    archive_at: ArchiveAt,
    wanted: SeriesFilter,
    names: list[str],
) -> None:
    orthanc, series = filled
    archive = archive_at(orthanc.url, wanted=wanted)
    assert archive.ids() == sorted(series[name].uid for name in names)


def test_a_client_learns_what_the_archive_says_of_a_series(
    filled: tuple[OrthancProcess, dict[str, Series]], archive_at: ArchiveAt
) -> None:
    orthanc, series = filled
    assert archive_at(orthanc.url).facts(series["thin"].uid) == {
        "name": "thin 20200115 Thorax 1.0 Lunge",
        "kind": "dicom",
        "place": "thin 20200115 Thorax 1.0 Lunge",
        "patient": "thin",
        "study_date": "20200115",
        "description": "Thorax 1.0 Lunge",
        "modality": "CT",
        "slices": 2,
    }


@pytest.mark.parametrize("study_id", ["1.2.3", "..", "../../etc/passwd", "", "x" * 5000, "1.2\n"])
def test_what_is_no_series_of_the_archive_is_not_found(
    filled: tuple[OrthancProcess, dict[str, Series]], archive_at: ArchiveAt, study_id: str
) -> None:
    archive = archive_at(filled[0].url)
    for ask in (archive.require, archive.facts, lambda each: archive.opened(each).__enter__()):
        with pytest.raises(StudyNotFoundError) as refused:
            ask(study_id)
        assert len(str(refused.value)) < 400


def test_where_the_search_for_series_is_not_offered_its_studies_are_searched(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    rude.series = [write_series(tmp_path, name, slices=1) for name in ("a", "bb")]
    rude.lists_all_series = False
    assert archive_at(rude.url).ids() == sorted(each.uid for each in rude.series)
    assert rude.count("/studies") >= 1


def test_where_series_come_without_a_date_that_is_asked_for_their_studies_are_searched(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    rude.series = [write_series(tmp_path, "a", slices=1)]
    archive_at(rude.url, wanted=SeriesFilter(date_from="20200101")).ids()
    assert rude.count("/studies") >= 1


def test_an_archive_that_matches_nothing_itself_is_looked_through(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    rude.series = [write_series(tmp_path, "a", slices=1)]
    rude.row_values = {"00080020": value("20191231")}
    assert archive_at(rude.url, wanted=SeriesFilter(date_from="20200101")).ids() == []
    assert archive_at(rude.url, wanted=SeriesFilter(date_to="20200101")).ids() == [rude.series[0].uid]
    rude.row_values = {"00080060": value("SR")}
    assert archive_at(rude.url).ids() == []


def test_a_series_whose_uid_is_a_path_is_left_out(rude: Rude, archive_at: ArchiveAt, tmp_path: Path) -> None:
    rude.series = [
        Series("../../evil", "1.2", {}),
        Series("1.2.3", "../evil", {}),
        Series("1.2.4", "1.5", {}),
    ]
    assert archive_at(rude.url).ids() == ["1.2.4"]


@pytest.mark.parametrize("most", [400, 1000])
def test_all_of_many_series_are_listed_though_they_come_in_pages(
    rude: Rude, archive_at: ArchiveAt, most: int
) -> None:
    rude.series = [Series(f"1.2.{number}", "1.5", {}) for number in range(2100)]
    rude.most_rows = most
    assert len(archive_at(rude.url).ids()) == 2100


def test_a_fresh_listing_is_believed_and_a_stale_one_is_renewed_behind_the_caller(
    rude: Rude, archive_at: ArchiveAt
) -> None:
    rude.series = [Series("1.2.3", "1.5", {})]
    fresh = archive_at(rude.url, fresh_seconds=100)
    assert [fresh.ids() for _ in range(20)] == [["1.2.3"]] * 20
    asked = len(rude.asked)
    assert asked == 2  # one page, and the one that says it was the last

    rude.series.append(Series("1.2.4", "1.5", {}))
    stale = archive_at(rude.url, fresh_seconds=0.01)  # it knows the last listing from the disk
    assert stale.ids() == ["1.2.3"]
    assert eventually(lambda: stale.ids() == ["1.2.3", "1.2.4"])


def test_a_series_sent_to_the_archive_just_now_is_found_though_the_listing_is_fresh(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    archive = archive_at(orthanc.url, fresh_seconds=100)
    assert archive.ids() == []
    series = write_series(tmp_path, "new")
    orthanc.put(series.files.values())
    assert eventually(lambda: _there_is(archive, series.uid))
    assert archive.ids() == [series.uid]


@pytest.mark.parametrize("fresh_seconds", [0, 100])
def test_a_series_that_a_listing_leaves_out_for_a_moment_is_still_there(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path, fresh_seconds: float
) -> None:
    series = write_series(tmp_path, "a", slices=1)
    rude.series = [series]
    archive = archive_at(rude.url, fresh_seconds=fresh_seconds)
    with archive.opened(series.uid):
        pass
    # So answers Orthanc 1.10 while an instance leaves the series.
    rude.before = lambda path: (200, "application/json", b"[]") if path.endswith("/series") else None
    archive.refresh()
    assert archive.ids() == [series.uid]
    archive.require(series.uid)
    with archive.opened(series.uid) as study:
        assert len(list(study.path.iterdir())) == 1
    rude.series = []
    archive.refresh()
    assert archive.ids() == []


def test_a_series_that_is_no_longer_wanted_leaves_the_listing(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    rude.series = [write_series(tmp_path, "a", slices=1)]
    archive = archive_at(rude.url, wanted=SeriesFilter(description="thorax*"))
    rude.row_values = {"0008103E": value("Thorax")}
    assert archive.ids() == [rude.series[0].uid]
    # The search for all series no longer finds it, and by itself it is another one now.
    rude.row_values = {"0008103E": value("localizer")}
    rude.before = lambda path: (200, "application/json", b"[]") if path == "/series" else None
    archive.refresh()
    assert archive.ids() == []


def _there_is(archive: DicomArchive, uid: str) -> bool:
    try:
        archive.require(uid)
    except StudyNotFoundError:
        return False
    return True


def test_wrong_ids_do_not_become_questions_to_the_archive(rude: Rude, archive_at: ArchiveAt) -> None:
    archive = archive_at(rude.url, fresh_seconds=100)
    for number in range(50):
        assert not _there_is(archive, f"1.2.{number}")
    assert len(rude.asked) <= 2


def test_many_who_ask_at_once_share_one_question(rude: Rude, archive_at: ArchiveAt) -> None:
    rude.series = [Series("1.2.3", "1.5", {})]
    archive, found = archive_at(rude.url, fresh_seconds=100), []
    threads = [threading.Thread(target=lambda: found.append(archive.ids())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["1.2.3"]] * 8
    assert len(rude.asked) == 2


@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", '{"schema": "vptct.archive-listing/1"}', "[" * 100_000, "\0"]
)
def test_a_damaged_listing_on_the_disk_is_ignored(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path, garbage: str
) -> None:
    rude.series = [Series("1.2.3", "1.5", {})]
    archive_at(rude.url).refresh()
    (file,) = (tmp_path / "cache").glob("listing-*.json")
    file.write_text(garbage)
    assert archive_at(rude.url).ids() == ["1.2.3"]
    file.write_text(garbage)
    rude.before = lambda path: (503, "text/plain", b"")
    with pytest.raises(ArchiveUnreachableError):
        archive_at(rude.url, patience=QUICK).ids()


def test_another_filter_does_not_show_what_the_last_one_listed(rude: Rude, archive_at: ArchiveAt) -> None:
    rude.series = [Series("1.2.3", "1.5", {})]
    archive_at(rude.url).refresh()
    rude.before = lambda path: (503, "text/plain", b"")
    assert archive_at(rude.url, patience=QUICK).ids() == ["1.2.3"]
    with pytest.raises(ArchiveUnreachableError):
        archive_at(rude.url, patience=QUICK, wanted=SeriesFilter(modality="MR")).ids()


@pytest.mark.parametrize(
    "wrong",
    [
        {"modality": "C T"},
        {"modality": ""},
        {"date_from": "2020-01-01"},
        {"date_to": "20201301"},
        {"date_from": "20200102", "date_to": "20200101"},
    ],
)
def test_a_filter_that_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        SeriesFilter(**wrong)


def test_the_dates_of_all_series_are_known_from_the_listing(
    filled: tuple[OrthancProcess, dict[str, Series]], archive_at: ArchiveAt
) -> None:
    orthanc, series = filled
    dated = {"thin": "20200115", "thick": "20211231", "old": "19991231"}
    assert archive_at(orthanc.url).dates() == {series[name].uid: date for name, date in dated.items()}

"""Labels stay with their study, whatever comes or goes around it, and no other study ever takes them over."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vpt_plugin.errors import StudyNotFoundError
from vpt_plugin.store.sightings import LabelledPlaces, Sighting
from vpt_plugin.store.studies import StudyFolder

ONE, OTHER = "1.2.34", "1.2.56"


def dicom_of(examination: str) -> bytes:
    """A DICOM file with a StudyInstanceUID of an even number of characters and nothing else."""
    syntax, uid = b"1.2.840.10008.1.2.1\0", examination.encode()
    meta = b"\2\0\x10\0UI" + len(syntax).to_bytes(2, "little") + syntax
    return bytes(128) + b"DICM" + meta + b"\x20\0\x0d\0UI" + len(uid).to_bytes(2, "little") + uid


class Site:
    """A folder of studies, and the labels of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.labels = root / "labels"
        self.labelled: set[str] = set()
        self.restart()

    def restart(self) -> None:
        self.folder = StudyFolder(
            self.root, fresh_seconds=0, labelled=lambda: self.labelled, index_folder=self.labels
        )

    def add(self, place: str, examination: str = "") -> None:
        """A series in a folder, a loose slice ``*.dcm``, or a NIfTI file."""
        path = self.root / place
        path = path if path.suffix else path / "1.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom_of(examination) if examination else b"x")

    def remove(self, place: str) -> None:
        path = self.root / place
        path.unlink() if path.is_file() else shutil.rmtree(path)

    def label(self, study: str) -> None:
        counts = self.folder.require(study)
        self.labels.mkdir(exist_ok=True)
        self.labelled.add(counts)

    def files(self, study: str) -> list[bytes]:
        """What the files of a study hold."""
        with self.folder.opened(study) as opened:
            found = [opened.path] if opened.path.is_file() else sorted(opened.path.rglob("*"))
            return [path.read_bytes() for path in found if path.is_file()]

    def ids(self) -> dict[str, str]:
        """The place of each study by its id."""
        return {each: path.relative_to(self.root).as_posix() for each, path in self.folder.scan().items()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_labels_stay_when_a_second_series_of_the_examination_comes_and_when_either_goes(site: Site) -> None:
    site.add("p01/ct1", ONE)
    site.label("p01--ct1")
    site.add("p01/ct2", ONE)
    assert site.ids() == {"p01--ct1": "p01"}
    site.remove("p01/ct1")
    assert site.ids() == {"p01--ct1": "p01/ct2"}
    site.add("p01/ct1", ONE)
    site.remove("p01/ct2")
    assert site.ids() == {"p01--ct1": "p01/ct1"}


def test_labels_of_several_series_stay_when_all_but_one_go(site: Site) -> None:
    site.add("p01/ct1", ONE)
    site.add("p01/ct2", ONE)
    site.label("p01")
    assert site.ids() == {"p01": "p01"}
    site.remove("p01/ct2")
    site.restart()
    assert site.ids() == {"p01": "p01/ct1"}


def test_another_examination_in_the_place_of_one_labelled_since_the_last_look_gets_no_labels(
    site: Site,
) -> None:
    site.add("p01", ONE)
    site.label("p01")  # nobody looks again before the study is replaced
    site.remove("p01")
    site.add("p01", OTHER)
    assert "p01" not in site.ids()
    site.restart()
    assert "p01" not in site.ids()


def test_a_server_killed_right_after_the_first_label_knows_of_which_examination_it_is(site: Site) -> None:
    site.add("p01", ONE)
    site.label("p01")
    site.folder.remember("p01")
    site.remove("p01")  # while no server runs that could look
    site.add("p01", OTHER)
    site.restart()
    assert list(site.ids().values()) == ["p01"]
    assert "p01" not in site.ids()


def test_evidence_of_a_study_that_got_no_label_after_all_counts_for_nothing(site: Site) -> None:
    site.add("p01", ONE)
    site.labels.mkdir()
    assert site.ids() == {"p01": "p01"}
    site.folder.remember("p01")
    site.remove("p01")
    site.add("p01", OTHER)
    site.restart()
    assert site.ids() == {"p01": "p01"}


def test_without_labels_an_id_is_the_place_and_nothing_else(site: Site) -> None:
    site.add("p01/ct1", ONE)
    assert site.ids() == {"p01--ct1": "p01/ct1"}
    site.add("p01/ct2", ONE)
    assert site.ids() == {"p01": "p01"}


def test_labels_copied_from_elsewhere_count_without_any_evidence_of_ours(site: Site) -> None:
    site.add("p01/ct1", ONE)
    site.add("p01/ct2", ONE)
    site.labelled = {"p01--ct2"}
    assert site.ids() == {"p01--ct2": "p01"}


def test_a_follow_up_in_the_same_folder_does_not_take_over_the_labels(site: Site) -> None:
    site.add("p01/ct1", ONE)
    site.add("p01/ct2", ONE)
    site.label("p01")
    assert site.ids() == {"p01": "p01"}
    site.remove("p01")
    site.add("p01/follow-up", OTHER)
    assert site.ids() == {"p01--follow-up": "p01/follow-up"}
    site.add("p01/ct1", ONE)
    assert site.ids() == {"p01": "p01/ct1", "p01--follow-up": "p01/follow-up"}


def test_another_examination_in_the_very_same_place_gets_an_id_of_its_own(site: Site) -> None:
    site.add("p01", ONE)
    site.label("p01")
    assert site.ids() == {"p01": "p01"}
    site.add("p01", OTHER)
    (newcomer,) = site.ids()
    assert newcomer.startswith("p01-")
    site.label(newcomer)
    site.restart()
    assert site.ids() == {newcomer: "p01"}


def test_a_labelled_examination_is_not_broken_up_by_what_comes_beside_it(site: Site) -> None:
    site.add("p01/ct1", ONE)
    site.add("p01/ct2", ONE)
    site.label("p01")
    assert len(site.files("p01")) == 2
    site.add("p01/follow-up", OTHER)
    site.add("p01/mask.nii")
    site.restart()
    assert site.ids() == {"p01": "p01", "p01--follow-up": "p01/follow-up", "p01--mask.nii": "p01/mask.nii"}
    assert site.files("p01") == [dicom_of(ONE)] * 2


@pytest.mark.parametrize("labelled", ["p01--ct", "p01--ct.nii"])
def test_a_loose_slice_does_not_swallow_a_labelled_study_below_it(site: Site, labelled: str) -> None:
    site.add("p01/ct.nii") if labelled.endswith("nii") else site.add("p01/ct", ONE)
    site.label(labelled)
    assert list(site.ids()) == [labelled]
    site.add("p01/stray.dcm", OTHER)
    assert site.ids() == {"p01": "p01", labelled: labelled.replace("--", "/")}
    assert site.files("p01") == [dicom_of(OTHER)]


def test_loose_slices_in_the_root_that_have_labels_stay_a_study(site: Site) -> None:
    site.add("1.dcm", ONE)
    (root,) = site.ids()
    site.label(root)
    assert site.ids() == {root: "."}
    site.add("p01/ct", OTHER)
    assert site.ids() == {root: ".", "p01--ct": "p01/ct"}
    assert site.files(root) == [dicom_of(ONE)]


def test_series_with_labels_of_their_own_are_not_joined(site: Site) -> None:
    for place in ("p01/ct1", "p01/ct2", "p01/mask.nii"):
        site.add(place, "" if place.endswith("nii") else ONE)
    site.label("p01--ct1")
    site.label("p01--ct2")
    site.remove("p01/mask.nii")
    assert site.ids() == {"p01--ct1": "p01/ct1", "p01--ct2": "p01/ct2"}


def test_whoever_opened_the_first_series_can_save_the_label_after_the_second_came(site: Site) -> None:
    site.add("p01/ct1", ONE)
    assert site.ids() == {"p01--ct1": "p01/ct1"}
    site.add("p01/ct2", ONE)
    assert site.ids() == {"p01": "p01"}
    assert site.folder.require("p01--ct1") == "p01"
    site.label("p01--ct1")
    assert site.ids() == {"p01": "p01"}
    assert site.labelled == {"p01"}


def test_whoever_was_shown_the_whole_can_save_the_label_after_one_came_for_a_series(site: Site) -> None:
    site.add("p01/ct1", ONE)
    site.add("p01/ct2", ONE)
    assert site.ids() == {"p01": "p01"}
    site.labelled.add("p01--ct1")  # by another server, which had not seen the second series yet
    assert site.folder.require("p01") == "p01--ct1"
    with pytest.raises(StudyNotFoundError):
        site.folder.require("p01--ct2")


def test_a_folder_of_labels_that_is_away_for_a_moment_costs_no_evidence(site: Site) -> None:
    site.add("p01/ct1", ONE)
    site.add("p01/ct2", ONE)
    site.label("p01")
    assert site.ids() == {"p01": "p01"}
    site.labels.rename(site.root / ".away")
    site.labelled, labelled = set(), site.labelled
    site.remove("p01/ct2")
    assert site.ids() == {"p01--ct1": "p01/ct1"}
    (site.root / ".away").rename(site.labels)
    site.labelled = labelled
    assert site.ids() == {"p01": "p01/ct1"}


@pytest.mark.parametrize(
    "damage",
    [b"", b"\0\xff", b"[]", b'{"schema": "vptct.examinations/2", "studies": {}}', b"[" * 99_999]
    + [
        json.dumps({"schema": "vptct.examinations/1", "studies": studies}).encode()
        for studies in ([], {"p01": 1}, {"p01": {"place": "p01"}}, {"../p01": asdict(Sighting("p01", OTHER))})
    ],
)
def test_damaged_evidence_is_left_out_and_made_anew(site: Site, damage: bytes) -> None:
    site.add("p01/ct1", ONE)
    site.add("p01/ct2", ONE)
    site.label("p01")
    (site.labels / "examinations.json").write_bytes(damage)
    site.restart()
    assert site.ids() == {"p01": "p01"}
    kept = json.loads((site.labels / "examinations.json").read_bytes())["studies"]
    assert kept == {"p01": {"place": "p01", "examination": ONE, "slices": ["p01/ct1/1.dcm", "p01/ct2/1.dcm"]}}


def test_whoever_only_looks_writes_nothing_and_finds_the_same(site: Site) -> None:
    site.add("p01/ct1", ONE)
    site.add("p01/ct2", ONE)
    site.label("p01")
    assert site.ids() == {"p01": "p01"}
    site.remove("p01/ct2")
    before = {path: path.read_bytes() for path in site.labels.iterdir()}
    (site.labels / "studies-index.json").unlink(missing_ok=True)
    before.pop(site.labels / "studies-index.json", None)
    looking = StudyFolder(site.root, labelled=lambda: site.labelled, index_folder=site.labels, read_only=True)
    assert looking.ids() == ["p01"]
    assert {path: path.read_bytes() for path in site.labels.iterdir()} == before


def test_a_header_that_cannot_be_read_at_the_moment_wipes_out_no_evidence() -> None:
    places = LabelledPlaces("root", {"p01"}, {"p01": Sighting("p01", ONE)})
    assert places.sighted("p01", Sighting("p01")) == Sighting("p01", ONE)


def test_slices_of_another_examination_in_the_same_folder_do_not_speak_for_it(site: Site) -> None:
    site.add("p01", ONE)
    site.label("p01")
    assert site.ids() == {"p01": "p01"}
    site.add("p01/0.dcm", OTHER)  # comes first by its name
    (site.labels / "studies-index.json").unlink(missing_ok=True)
    site.restart()
    assert site.ids() == {"p01": "p01"}


@pytest.mark.skipif(os.name == "nt", reason="links need special rights on Windows")
@pytest.mark.parametrize("evidence", [True, False])
@pytest.mark.parametrize(
    ("place", "study", "link", "target"),
    [
        ("z/study", "z--study", "a", "z/study"),  # comes first by its name, and lies higher
        ("z/ct.nii", "z--ct.nii", "a", "z"),
        (".elsewhere/ct.nii", "latest--ct.nii", "a", ".elsewhere"),
    ],
)
def test_a_new_link_does_not_take_labels_out_of_sight(
    site: Site, place: str, study: str, link: str, target: str, evidence: bool
) -> None:
    site.add(place, "" if place.endswith(".nii") else ONE)
    (site.root / "latest").symlink_to(site.root / target)
    site.label(study)
    assert list(site.ids()) == [study]
    if not evidence:
        (site.labels / "examinations.json").unlink()
    (site.root / link).symlink_to(site.root / target)
    site.restart()
    assert list(site.ids()) == [study]


@pytest.mark.skipif(os.name == "nt", reason="links need special rights on Windows")
def test_a_study_labelled_by_way_of_a_link_keeps_its_id_when_its_own_folder_comes(site: Site) -> None:
    site.add(".elsewhere/study", ONE)
    (site.root / "z").symlink_to(site.root / ".elsewhere")
    site.label("z--study")
    (site.root / ".elsewhere").rename(site.root / "a")
    (site.root / "z").unlink()
    (site.root / "z").symlink_to(site.root / "a")
    site.restart()
    assert site.ids() == {"z--study": "z/study"}


FOLDERS = ("p/a", "p/b", "p/a/deep", "q/a", "p", "q")
FILES = ("p/x.nii", "p/a/y.nii", "q/z.nii")
PLACES = (*FOLDERS, *(f"{folder}/0.dcm" for folder in FOLDERS), "0.dcm", *FILES)


class AnySite(RuleBasedStateMachine):
    """Series, slices and files come and go in any order; studies are labelled in between."""

    @initialize()
    def start(self) -> None:
        self.site = Site(Path(mkdtemp()))
        # Of each labelled study its examinations and its files when it was labelled.
        self.seen: dict[str, tuple[set[bytes], dict[Path, bytes]]] = {}
        self.stayed: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "site"):
            shutil.rmtree(self.site.root)

    @rule(place=st.sampled_from(PLACES), examination=st.sampled_from([ONE, OTHER]))
    def add(self, place: str, examination: str) -> None:
        self.site.add(place, "" if place.endswith(".nii") else examination)

    @rule(place=st.sampled_from(PLACES))
    def remove(self, place: str) -> None:
        if (self.site.root / place).exists():
            self.site.remove(place)

    @rule(choice=st.integers(0, 99))
    def label(self, choice: int) -> None:
        if ids := sorted(self.site.ids()):
            study = ids[choice % len(ids)]
            self.site.label(study)
            self.seen[study] = self.of(study)
            self.stayed.add(study)

    @rule(index=st.booleans())
    def restart(self, index: bool) -> None:
        if not index:
            (self.site.labels / "studies-index.json").unlink(missing_ok=True)
        self.site.restart()

    def of(self, study: str) -> tuple[set[bytes], dict[Path, bytes]]:
        files = dict(self.files_of(study))
        return set(files.values()), files

    def files_of(self, study: str) -> Iterator[tuple[Path, bytes]]:
        with self.site.folder.opened(study) as opened:
            found = [opened.path] if opened.path.is_file() else opened.path.rglob("*")
            for path in found:
                if path.is_file() and self.site.labels not in path.parents:
                    yield path.resolve(), path.read_bytes()

    @invariant()
    def labels_are_with_their_study(self) -> None:
        if not hasattr(self, "site"):
            return
        ids = self.site.ids()
        assert len(set(ids)) == len(ids)
        for study, (examinations, files) in self.seen.items():
            if study in ids:
                assert examinations & self.of(study)[0], f"another study took over {study}"
            if not all(path.is_file() and path.read_bytes() == data for path, data in files.items()):
                self.stayed.discard(study)
            elif study in self.stayed:
                assert study in ids, f"{study} is there and is not found by its id"
                assert files.items() <= self.of(study)[1].items()


AnySite.TestCase.settings = settings(
    max_examples=60, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
test_any_site = AnySite.TestCase

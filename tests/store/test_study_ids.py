"""Ids are stable, readable and safe, whatever the files are called."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.store.ids import is_study_id, study_ids


def ids_of(*paths: str) -> dict[str, str]:
    return {study: path.as_posix() for study, path in study_ids(map(PurePosixPath, paths)).items()}


def test_an_id_is_the_path_folders_joined_by_two_dashes() -> None:
    assert ids_of("p01/ct.nii.gz", "p02/2026/series3", "thorax_1.nrrd") == {
        "p01--ct.nii.gz": "p01/ct.nii.gz",
        "p02--2026--series3": "p02/2026/series3",
        "thorax_1.nrrd": "thorax_1.nrrd",
    }


def test_a_study_that_comes_takes_over_no_id_and_so_no_labels_of_another() -> None:
    before = ids_of("a.nrrd")
    after = ids_of("a.nrrd", "a.nii.gz", "a", "a.mha", "a.NRRD")
    assert before.items() <= after.items()
    assert len(after) == 5


def test_letters_that_do_not_fit_are_replaced_and_a_hash_keeps_the_paths_apart() -> None:
    ids = ids_of("Müller CT.nii", "M?ller CT.nii", "a--b.nii", "a/b.nii", "_x.nii", "x.nii")
    assert ids["a--b.nii"] == "a/b.nii"
    assert ids["x.nii"] == "x.nii"
    assert len(ids) == 6
    assert all(study.startswith(("M-ller-CT.nii-", "a--b.nii", "x.nii")) for study in ids)


def test_a_long_path_becomes_an_id_of_at_most_128_letters() -> None:
    (study,) = ids_of("/".join(["folder"] * 60) + "/ct.nii")
    assert len(study) == 128


names = st.text(alphabet="ab-_.Ä /\\\0\udc80", min_size=1, max_size=8).map(
    lambda name: name.replace("/", "").replace("\0", "") or "x"
)
paths = st.lists(
    st.builds(
        lambda parts, extension: "/".join(part for part in parts if part not in {".", ".."}) + extension,
        st.lists(names, min_size=1, max_size=3),
        st.sampled_from(["", ".nii", ".nii.gz", ".nrrd", ".NRRD", ".mha"]),
    ).filter(lambda path: path.strip("/.") != ""),
    max_size=12,
    unique_by=lambda path: PurePosixPath(path).as_posix(),
)


@given(paths)
def test_every_path_gets_an_id_of_the_safe_form_and_each_id_one_path(found: list[str]) -> None:
    ids = study_ids(map(PurePosixPath, found))
    assert all(is_study_id(study) for study in ids)
    assert sorted(path.as_posix() for path in ids.values()) == sorted(
        PurePosixPath(path).as_posix() for path in found
    )


@given(paths, st.randoms())
def test_ids_do_not_depend_on_the_order_in_which_files_were_found(found: list[str], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert study_ids(map(PurePosixPath, found)) == study_ids(map(PurePosixPath, shuffled))


@pytest.mark.parametrize(
    "text", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "a\n", "a.", "ä", "a" * 129]
)
def test_what_could_lead_out_of_a_folder_is_no_id(text: str) -> None:
    assert not is_study_id(text)

"""Where the studies of a bulk run come from."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from orthanc_process import OrthancProcess

from vpt_plugin.bulk.source import open_bulk_source
from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_dicom
from vpt_plugin.errors import ConfigurationError, ManifestError


def test_a_folder_gives_its_studies_in_order_and_another_process_can_open_them(
    new_archive: Callable[[int], Path],
) -> None:
    source = open_bulk_source(str(new_archive(3)))
    assert list(source.studies) == ["ct-000.nrrd", "ct-001.nrrd", "ct-002.nrrd"]
    opener, where = pickle.loads(pickle.dumps((source.opener, source.studies["ct-001.nrrd"])))
    with opener("ct-001.nrrd", where) as opened:
        assert opened.path.name == "ct-001.nrrd"
        assert read_study(opened.path).slices == 24


def test_a_csv_needs_no_more_than_study_and_path_relative_to_it(
    new_archive: Callable[[int], Path], tmp_path: Path
) -> None:
    new_archive(2)
    file = tmp_path / "studies.csv"
    file.write_text("\ufeffpatient,study,path\nA,one,archive/ct-000.nrrd\nB,two,archive/ct-001.nrrd\n")
    source = open_bulk_source(str(file))
    assert list(source.studies) == ["one", "two"]
    with source.opener("two", source.studies["two"]) as opened:
        assert opened.path == tmp_path / "archive" / "ct-001.nrrd"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("study,path\na,x\nb,y\na,z\n", r"line 4: the study 'a' is in line 2 already"),
        ("study,file\na,x\n", r"line 1: column path is missing"),
        ("study,path\n,x\n", r"line 2: study or path is empty"),
        ("study,path\na\n", r"line 2: study or path is empty"),
    ],
)
def test_a_csv_that_cannot_be_used_names_the_line(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "studies.csv"
    file.write_text(text)
    with pytest.raises(ManifestError, match=why):
        open_bulk_source(str(file))


def test_what_holds_no_study_or_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no study in it"):
        open_bulk_source(str(tmp_path))
    with pytest.raises(ConfigurationError, match="there is no such file or folder"):
        open_bulk_source(str(tmp_path / "nowhere"))


def test_the_series_of_an_archive_are_opened_by_another_process_with_the_login_of_its_environment(
    new_orthanc: Callable[..., OrthancProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orthanc = new_orthanc(login=("reader", "geheim"))
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_USERNAME", "reader")
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_PASSWORD", "geheim")
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))
    config = PhantomConfig(pixels=32, slice_spacings_mm=(12.0,))
    phantom = make_phantom(0, nodule=False, contrast=False, emboli=False, config=config).volume
    write_dicom(phantom, tmp_path / "exam")
    orthanc.send(tmp_path / "exam")
    source = open_bulk_source(orthanc.url)
    (study,) = source.studies
    opener = pickle.loads(pickle.dumps(source.opener))
    with opener(study, source.studies[study]) as opened:
        volume = read_study(opened.path)
    assert (volume.provenance.series_uid, volume.slices) == (study, phantom.slices)
    assert "geheim" not in repr(pickle.dumps(source.opener))

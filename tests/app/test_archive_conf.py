"""What ``--conf`` may say of a DICOM archive."""

from __future__ import annotations

from pathlib import Path

import pytest
from lib.archive_conf import (
    KEYS,
    ArchiveConf,
    archive_labels_dir,
    is_archive,
    open_archive,
    read_archive_conf,
)

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.store.archive import SeriesFilter

URL = "http://pacs.lan:8042/dicom-web"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_without_a_word_all_cts_are_studies_and_the_cache_holds_50_gb() -> None:
    assert read_archive_conf({}) == ArchiveConf(None, 50.0, SeriesFilter("CT"))


def test_every_key_is_read() -> None:
    values = ["/data/cache", "2.5", "ct", "20200101", "20201231", "Thorax*"]
    assert read_archive_conf(dict(zip(KEYS, values, strict=True))) == ArchiveConf(
        Path("/data/cache"), 2.5, SeriesFilter("CT", "20200101", "20201231", "Thorax*")
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("cache_gb", "much"),
        ("cache_gb", "0"),
        ("cache_gb", "-1"),
        ("cache_gb", "nan"),
        ("cache_gb", "inf"),
        ("archive_modality", "computed tomography"),
        ("archive_from", "1.1.2020"),
        ("archive_to", "20201232"),
        ("cache_dir", __file__),
    ],
)
def test_what_cannot_be_is_refused_and_named(key: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--conf {key}"):
        read_archive_conf({key: text})


def test_an_address_is_told_from_a_folder() -> None:
    assert is_archive(URL)
    assert not is_archive("/data/studies")


def test_labels_and_cache_lie_in_the_home_of_vptct_under_the_archives_name(home: Path) -> None:
    folder = home / "archives" / "pacs.lan-8042-8dcfef51"
    assert archive_labels_dir(URL) == folder / "labels"
    assert archive_labels_dir(URL + "/") == folder / "labels"
    assert not home.exists()  # nothing is made before it is needed


def test_an_archive_is_made_without_asking_it() -> None:
    archive = open_archive("http://no-such-archive.invalid/dicom-web", read_archive_conf({}), environment={})
    assert archive.name == "no-such-archive.invalid"


def test_a_password_in_the_address_or_half_a_login_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no password"):
        open_archive("http://me:geheim@pacs/dicom-web", read_archive_conf({}), environment={})
    with pytest.raises(ConfigurationError, match="MONAI_LABEL_DATASTORE_PASSWORD is not set"):
        open_archive(URL, read_archive_conf({}), environment={"MONAI_LABEL_DATASTORE_USERNAME": "me"})

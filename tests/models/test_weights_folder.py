"""Published weights on this computer: importing, checking, recording; nothing is downloaded here."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from vpt_plugin.errors import ChecksumError, WeightsError, WeightsLayoutError, WeightsNotFoundError
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.weights import WeightsFolder, WeightsSource, vptct_home

SOURCE = WeightsSource(
    name="tiny",
    model="tiny",
    pretraining="kinetics",
    url="https://example.org/TINY.pyth",
    filename="TINY.pyth",
    layout="pytorchvideo",
    licence="Made by the test.",
    bytes=2_500_000,
)


@pytest.fixture
def file(tmp_path: Path, save_as_published: Callable[..., Path]) -> Path:
    return save_as_published(get_model("tiny").build().state_dict(), "pytorchvideo", tmp_path / "given.pyth")


@pytest.fixture
def folder(tmp_path: Path) -> WeightsFolder:
    return WeightsFolder(tmp_path / "weights")


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def names(folder: WeightsFolder) -> list[str]:
    return sorted(each.name for each in folder.root.iterdir()) if folder.root.exists() else []


def test_the_folder_is_where_vptct_home_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path))
    assert WeightsFolder().root == tmp_path / "weights"
    monkeypatch.delenv("VPTCT_HOME")
    assert vptct_home().name == "vptct"
    assert not (tmp_path / "weights").exists()  # asking creates nothing


def test_an_imported_file_is_copied_recorded_and_loads(folder: WeightsFolder, file: Path) -> None:
    assert not folder.has(SOURCE)
    assert folder.import_file(SOURCE, file) == folder.path(SOURCE)
    assert folder.has(SOURCE)
    assert names(folder) == ["TINY.pyth", "TINY.pyth.sha256.json"]
    record = json.loads((folder.root / "TINY.pyth.sha256.json").read_text())
    assert record["sha256"] == sha256(file) == folder.verify(SOURCE)
    published = torch.load(file, weights_only=True)["model_state"]
    loaded = folder.load(SOURCE)
    assert all(torch.equal(loaded[name], each) for name, each in published.items())


def test_a_classifier_starts_from_the_imported_weights(folder: WeightsFolder, file: Path) -> None:
    folder.import_file(SOURCE, file)
    spec = replace(get_model("tiny"), weights={"kinetics": (SOURCE,)})
    classifier = new_classifier(spec, ("lung_nodule",), pretraining="kinetics", weights=folder)
    stem = torch.load(file, weights_only=True)["model_state"]["stem.0.weight"]
    torch.testing.assert_close(classifier.backbone.network.stem[0].weight, stem.sum(dim=1, keepdim=True))


def test_the_head_is_the_same_at_the_first_use_of_a_file_and_later(folder: WeightsFolder, file: Path) -> None:
    folder.root.mkdir()
    file.rename(folder.path(SOURCE))  # laid there by hand: examined and recorded when it is first used
    spec = replace(get_model("tiny"), weights={"kinetics": (SOURCE,)})
    first, later = (
        new_classifier(spec, ("lung_nodule",), pretraining="kinetics", weights=folder).head.weight
        for _ in range(2)
    )
    assert torch.equal(first, later)
    assert names(folder) == ["TINY.pyth", "TINY.pyth.sha256.json"]


def test_of_several_sources_the_first_that_is_here_is_taken(folder: WeightsFolder, file: Path) -> None:
    other = replace(SOURCE, name="tiny_other", filename="OTHER.pyth")
    spec = replace(get_model("tiny"), weights={"kinetics": (SOURCE, other)})
    folder.import_file(other, file)
    new_classifier(spec, ("lung_nodule",), pretraining="kinetics", weights=folder)
    folder.path(other).unlink()
    with pytest.raises(WeightsNotFoundError, match="fetch tiny`"):
        new_classifier(spec, ("lung_nodule",), pretraining="kinetics", weights=folder)


def test_a_file_with_the_published_checksum_is_taken_and_another_refused(
    folder: WeightsFolder, file: Path
) -> None:
    folder.import_file(replace(SOURCE, sha256=sha256(file)), file)
    assert names(folder) == ["TINY.pyth"]  # the publisher's checksum needs no record
    with pytest.raises(ChecksumError, match=rf"begins with {sha256(file)[:16]}, but that of the publisher"):
        folder.import_file(replace(SOURCE, sha256="0" * 64), file)


def test_a_published_beginning_of_the_checksum_is_checked_and_the_whole_recorded(
    folder: WeightsFolder, file: Path
) -> None:
    with pytest.raises(ChecksumError, match="of the publisher with 7615ae03"):
        folder.import_file(replace(SOURCE, sha256_prefix="7615ae03"), file)
    assert names(folder) == []
    folder.import_file(replace(SOURCE, sha256_prefix=sha256(file)[:8]), file)
    assert names(folder) == ["TINY.pyth", "TINY.pyth.sha256.json"]


def test_a_file_that_changed_after_its_first_use_is_refused(folder: WeightsFolder, file: Path) -> None:
    folder.import_file(SOURCE, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    folder.path(SOURCE).write_bytes(content)
    for use in (folder.verify, folder.load):
        with pytest.raises(ChecksumError, match="but that of the first use with"):
            use(SOURCE)


def test_another_file_is_not_imported_over_the_one_first_used(
    folder: WeightsFolder, file: Path, tmp_path: Path, save_as_published: Callable[..., Path]
) -> None:
    folder.import_file(SOURCE, file)
    entries = {name: each + 1 for name, each in get_model("tiny").build().state_dict().items()}
    other = save_as_published(entries, "pytorchvideo", tmp_path / "other.pyth")
    with pytest.raises(ChecksumError, match="If its publisher replaced it, remove"):
        folder.import_file(SOURCE, other)
    assert sha256(folder.path(SOURCE)) == sha256(file)


def test_a_file_of_another_network_is_refused_and_nothing_is_kept(
    folder: WeightsFolder, tmp_path: Path, save_as_published: Callable[..., Path]
) -> None:
    other = save_as_published({"conv1.weight": torch.ones(3)}, "pytorchvideo", tmp_path / "resnet.pyth")
    with pytest.raises(WeightsLayoutError, match=r"resnet.pyth: .*unexpected: conv1.weight"):
        folder.import_file(SOURCE, other)
    assert names(folder) == []
    assert other.is_file()


def test_a_wrong_file_laid_there_by_hand_is_refused_but_not_held_against_the_right_one(
    folder: WeightsFolder, file: Path
) -> None:
    folder.root.mkdir()
    torch.save({"model_state": {"a": torch.ones(1)}}, folder.path(SOURCE))
    with pytest.raises(WeightsLayoutError):
        folder.load(SOURCE)
    assert names(folder) == ["TINY.pyth"]
    file.replace(folder.path(SOURCE))
    folder.load(SOURCE)


@pytest.mark.parametrize("page", ["<!DOCTYPE html><html>", "\n <html><head><title>Google Drive</title>"])
def test_a_web_page_saved_as_weights_is_recognised(folder: WeightsFolder, tmp_path: Path, page: str) -> None:
    (tmp_path / "saved.pyth").write_text(page)
    with pytest.raises(WeightsError, match=r"saved.pyth: this is a web page.*Download it in a browser"):
        folder.import_file(SOURCE, tmp_path / "saved.pyth")
    assert names(folder) == []


def test_importing_a_file_that_is_not_there_says_so(folder: WeightsFolder, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"nowhere.pyth: there is no such file"):
        folder.import_file(SOURCE, tmp_path / "nowhere.pyth")


def test_loading_or_verifying_what_is_not_here_names_the_commands(folder: WeightsFolder) -> None:
    for use in (folder.load, folder.verify):
        with pytest.raises(
            WeightsNotFoundError, match=r"`vpt weights fetch tiny`.*`vpt weights import tiny FILE`"
        ):
            use(SOURCE)


@pytest.mark.parametrize("record", ["{", "[]", '{"sha256": null}', '{"sha256": ""}', '{"sha256": "00"}'])
def test_a_damaged_record_is_an_error_that_names_it(folder: WeightsFolder, file: Path, record: str) -> None:
    folder.import_file(SOURCE, file)
    (folder.root / "TINY.pyth.sha256.json").write_text(record)
    for use in (folder.verify, folder.load, folder.fetch, lambda source: folder.import_file(source, file)):
        with pytest.raises(ChecksumError, match=r"TINY.pyth.sha256.json: is damaged\. Delete it"):
            use(SOURCE)
    assert sha256(folder.path(SOURCE)) == sha256(file)


def test_a_copy_that_is_not_what_was_given_is_refused_and_not_kept(
    folder: WeightsFolder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changes_a_bit(given: BinaryIO, copy: BinaryIO, _length: int) -> None:
        content = bytearray(given.read())
        content[len(content) // 2] ^= 1
        copy.write(content)

    monkeypatch.setattr("shutil.copyfileobj", changes_a_bit)
    with pytest.raises(ChecksumError, match=r"given\.pyth: its SHA-256 begins with"):
        folder.import_file(replace(SOURCE, sha256=sha256(file)), file)
    assert names(folder) == []


def test_an_import_that_fills_the_disk_leaves_nothing_behind(
    folder: WeightsFolder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills_the_disk(given: BinaryIO, copy: BinaryIO, _length: int) -> None:
        copy.write(given.read(1000))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", fills_the_disk)
    with pytest.raises(OSError, match="No space left"):
        folder.import_file(SOURCE, file)
    assert names(folder) == []

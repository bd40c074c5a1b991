"""The output folder: one question, one writer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vpt_plugin.bulk.record import BulkFolder, BulkRecord
from vpt_plugin.errors import ConfigurationError

ASKED = BulkRecord("/archive", "nodule", "1f", "tiny", 3, "ab", "auto", "torch")


def test_what_was_asked_is_written_down_and_may_be_asked_again(tmp_path: Path) -> None:
    folder = BulkFolder(tmp_path / "out")
    assert folder.record() is None
    for _ in range(2):
        with folder.writing(ASKED):
            assert folder.record() == ASKED
    assert json.loads((tmp_path / "out" / "run.json").read_text())["schema"] == "vptct.bulk/1"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("source", "/other", "source /archive, not /other"),
        ("task", "pe", "task nodule, not pe"),
        ("model", "swin_t", "model tiny, not swin_t"),
        ("version", 4, "version 3, not 4"),
        ("weights_sha256", "cd", "weights of that version ab, not cd"),
        ("precision", "float32", "precision auto, not float32"),
        ("backend", "openvino", "backend torch, not openvino"),
        ("unsuitable", "warn", "unsuitable studies: refuse, not warn"),
        ("error_rate", 0.05, "error rate 0.1, not 0.05"),
    ],
)
def test_another_question_is_refused_and_the_difference_named(
    tmp_path: Path, name: str, value: str | float, words: str
) -> None:
    folder = BulkFolder(tmp_path)
    with folder.writing(ASKED):
        pass
    with (
        pytest.raises(ConfigurationError, match=f"holds answers for {words}"),
        folder.writing(replace(ASKED, **{name: value})),
    ):
        pass
    assert folder.record() == ASKED


def test_a_folder_from_before_there_were_backends_was_answered_by_torch(tmp_path: Path) -> None:
    folder = BulkFolder(tmp_path)
    with folder.writing(ASKED):
        pass
    content = json.loads((tmp_path / "run.json").read_text())
    del content["backend"]
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert folder.record() == ASKED
    with (
        pytest.raises(ConfigurationError, match="backend torch, not auto"),
        folder.writing(replace(ASKED, backend="auto")),
    ):
        pass


def test_a_folder_from_before_an_error_rate_could_be_asked_for_goes_on_at_the_usual_one(
    tmp_path: Path,
) -> None:
    folder = BulkFolder(tmp_path)
    with folder.writing(ASKED):
        pass
    content = json.loads((tmp_path / "run.json").read_text())
    assert (content.pop("unsuitable"), content.pop("error_rate")) == ("refuse", 0.1)
    (tmp_path / "run.json").write_text(json.dumps(content))
    with folder.writing(ASKED):
        assert folder.record() == ASKED


def test_a_second_writer_is_refused_as_long_as_the_first_one_writes(tmp_path: Path) -> None:
    first, second = BulkFolder(tmp_path), BulkFolder(tmp_path)
    with (
        first.writing(ASKED),
        pytest.raises(ConfigurationError, match="another program fills"),
        second.writing(ASKED),
    ):
        pass
    with second.writing(ASKED):
        pass


def test_a_folder_with_other_files_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(ConfigurationError, match="holds other files"), BulkFolder(tmp_path).writing(ASKED):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.docx"]


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "vptct.bulk/2"}', '{"schema": "vptct.bulk/1"}'])
def test_a_record_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ConfigurationError, match="what was asked here cannot be read"):
        BulkFolder(tmp_path).record()

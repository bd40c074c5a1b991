"""``vpt models`` and ``vpt weights``: what there is, and what is on this computer."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.sources import WEIGHTS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path))
    return tmp_path


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def row(result: Result, name: str) -> str:
    """The table's row of that name, its cells with one space between them."""
    (line,) = (line for line in result.stdout.splitlines() if line.split()[:1] == [name])
    return " ".join(line.split())


def test_models_lists_every_network_with_its_clip_and_paper() -> None:
    result = vpt("models")
    assert row(result, "mvit_b") == "mvit_b MViT-B 32x3 32 x 224 x 224 kinetics (to fetch), none -"
    assert "24 x 224 x 224" in row(result, "penet")
    for name, spec in MODELS.items():
        assert f"{name}: {spec.paper}" in result.stdout


def test_models_says_what_is_trained_here(models_dir: Path) -> None:
    result = vpt("models", "--models-dir", models_dir)
    assert row(result, "tiny").endswith("none nodule (version 1)")


def test_models_says_which_pretrained_weights_are_here(home: Path) -> None:
    (home / "weights").mkdir()
    (home / "weights" / WEIGHTS["swin_t_authors"].filename).touch()
    assert "kinetics (on disk), none" in row(vpt("models"), "swin_t")


def test_weights_list_names_size_address_and_licence(home: Path) -> None:
    (home / "weights").mkdir()
    (home / "weights" / WEIGHTS["penet"].filename).touch()
    result = vpt("weights", "list")
    assert row(result, "swin_t") == f"swin_t swin_t kinetics 127 MB no {WEIGHTS['swin_t'].url}"
    assert row(result, "resnext101_2d").startswith(
        "resnext101_2d resnext101_2d, lrcn imagenet 356 MB no https://"
    )
    assert row(result, "penet").startswith("penet penet kinetics 237 MB yes ")
    assert f"Licence of penet: {WEIGHTS['penet'].licence}" in result.stdout


def test_unknown_weights_are_an_error_that_names_the_choices() -> None:
    result = vpt("weights", "fetch", "swin_t", "swim_t")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: unknown weights 'swim_t';\n       choose from slow_r50, ")


def test_a_file_that_is_no_weights_is_not_imported(tmp_path: Path, home: Path) -> None:
    page = tmp_path / "swin.pth"
    page.write_text("<!doctype html><title>Sign in</title>")
    result = vpt("weights", "import", "swin_t", page)
    assert result.exit_code == 1
    assert "this is a web page instead of the file" in result.stderr
    assert not (home / "weights" / WEIGHTS["swin_t"].filename).exists()


def test_verify_names_every_file_that_is_not_as_it_should_be(home: Path) -> None:
    (home / "weights").mkdir()
    (home / "weights" / WEIGHTS["swin_t"].filename).write_bytes(b"half a download")
    result = vpt("weights", "verify")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: swin3d_t-7615ae03.pth: its SHA-256 ")
    assert "fetch or import" in result.stderr


def test_verify_of_nothing_says_how_to_get_weights() -> None:
    result = vpt("weights", "verify")
    assert result.exit_code == 0
    assert "`vpt weights fetch NAME` downloads them" in result.stdout

"""A server that is killed, and one that finds its indexes damaged: no acknowledged label is lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from server_process import ServerProcess

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_labels.py"
STUDIES = ("a.nii", "b.nii", "sub--c.nii")


def test_a_server_that_is_killed_twice_in_the_middle_of_its_work_has_every_acknowledged_label() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), "--rounds", "2", "--writes", "60"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    said = re.search(
        r"2 times killed; (\d+) labels acknowledged before, (\d+) of them found .*; "
        r"(\d+) acknowledged and there at the end of their round; 0 lost\.",
        done.stdout,
    )
    assert said is not None, done.stdout
    acknowledged, found, finished = map(int, said.groups())
    assert 6 <= acknowledged == found
    assert finished == 120


def label(annotator: str) -> dict[str, object]:
    return {
        "schema": "vptct.label/1",
        "task": "nodule",
        "findings": {"lung_nodule": {"state": "present"}},
        "annotator": annotator,
        "created": "2026-11-20T20:31:05Z",
    }


def delete(index: Path) -> None:
    index.unlink(missing_ok=True)


def truncate(index: Path) -> None:
    content = index.read_bytes() if index.is_file() else b'{"schema": "vptct.index/2", "folders": {"a": '
    index.write_bytes(content[: len(content) // 2])


def fill_with_garbage(index: Path) -> None:
    index.write_bytes(b"\x00\xff garbage" * 1000)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, dict[str, bytes]]]:
    """A server over three labelled studies, killed; and the answers that it gave."""
    root = tmp_path_factory.mktemp("site")
    studies = root / "studies"
    (studies / "sub").mkdir(parents=True)
    (root / "models").mkdir()
    for name in ("a.nii", "b.nii", "sub/c.nii"):
        (studies / name).write_bytes(b"looked at by its name only")
    conf = {"tasks": "nodule", "models": "tiny", "device": "cpu", "models_dir": str(root / "models")}
    conf |= {"scoring": "off"}
    with ServerProcess(studies, conf=conf) as server:
        for study in STUDIES:
            for annotator in ("anna", "bert"):
                answer = requests.put(
                    f"{server.url}/datastore/label",
                    params={"image": study, "tag": "final"},
                    files={"label": ("label.json", json.dumps(label(annotator)))},
                    timeout=60,
                )
                assert answer.status_code == 200, answer.text
        before = answers(server)
        server.kill()
        yield server, before


def answers(server: ServerProcess) -> dict[str, bytes]:
    """All that the server says of labels: the files, the histories, which study has one."""
    routes = [f"/datastore/label?label={study}.nodule.{n:04d}&tag=final" for study in STUDIES for n in (1, 2)]
    routes += [f"/datastore/label/history?image={study}&task=nodule" for study in STUDIES]
    found = {route: requests.get(server.url + route, timeout=60) for route in (*routes, "/datastore/")}
    assert {answer.status_code for answer in found.values()} == {200}
    return {route: answer.content for route, answer in found.items()}


@pytest.mark.parametrize("damage", [delete, truncate, fill_with_garbage])
def test_an_index_that_is_gone_or_damaged_costs_no_label_and_no_start(
    site: tuple[ServerProcess, dict[str, bytes]], damage: Callable[[Path], None]
) -> None:
    server, before = site
    damage(Path(server.studies) / "labels" / "studies-index.json")
    damage(Path(server.studies) / "datastore_v2.json")
    server.start_again()
    try:
        assert answers(server) == before
    finally:
        server.kill()

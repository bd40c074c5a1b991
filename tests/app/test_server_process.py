"""Starting and stopping a real server."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import requests
from server_process import APP, ServerError, ServerProcess


def test_a_wrong_word_in_the_configuration_ends_the_start_and_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as caught, ServerProcess(tmp_path, conf={"speed": "fast"}):
        pass
    assert "--conf speed is unknown; choose from tasks, models, task_file, device, models_dir" in str(
        caught.value
    )


def test_the_server_says_what_it_serves_and_that_it_is_no_medical_device(client) -> None:
    log = client.process.log
    assert "VPTCT" in log
    # Which version depends on what other tests have published before.
    assert re.search(r"trained: nodule_tiny version \d+, nodule_slow_r50 version \d+", log)
    assert "not trained, so they do not answer: pe_tiny, pe_slow_r50" in log
    assert "Not a medical device" in log


def source_tree() -> dict[Path, float]:
    return {path: path.stat().st_mtime for path in APP.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.skipif(os.name == "nt", reason="there are no groups of processes to ask for")
def test_the_server_is_gone_when_the_block_is_left_and_the_source_tree_as_it_was(
    tmp_path: Path, workshop
) -> None:
    before = source_tree()
    conf = {"tasks": "nodule", "models": "tiny", "models_dir": str(workshop.models), "scoring": "off"}
    with ServerProcess(tmp_path, conf=conf) as server:
        assert requests.get(f"{server.url}/info/", timeout=10).json()["vptct"]["schema"] == "vptct.info/1"
        folder, group = server.log_path.parent, server._process.pid
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/info/", timeout=10)
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    assert source_tree() == before

"""A share with the studies that goes away under a running server, and comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from server_process import ServerProcess

from vpt_plugin.labels import FindingLabel, StudyLabel


def put_label(server: ServerProcess) -> tuple[int, dict[str, Any]]:
    label = StudyLabel("nodule", {"lung_nodule": FindingLabel("absent")}, annotator="anna")
    answer = server.http.put(
        f"{server.url}/datastore/label?image=a.nii",
        data={"params": "{}"},
        files={"label": ("label.json", json.dumps(label.to_json()), "application/json")},
    )
    return answer.status_code, answer.json()


def get(server: ServerProcess, path: str) -> dict[str, Any]:
    answer = server.http.get(server.url + path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_no_study_and_no_label_is_lost_to_a_share_that_goes_away(tmp_path: Path) -> None:
    studies, away = tmp_path / "studies", tmp_path / "away"
    studies.mkdir()
    (studies / "a.nii").write_bytes(b"found by its name")
    with ServerProcess(studies, conf={"models": "tiny", "scoring": "off"}) as server:
        assert put_label(server)[0] == 200
        studies.rename(away)
        for what, left in (("No such file or directory", False), ("its share may not be mounted", True)):
            if left:
                studies.mkdir()
            status, told = put_label(server)
            assert (status, what in told["detail"]) == (503, True)
            assert str(tmp_path) not in json.dumps(told)
            assert list(get(server, "/datastore/?output=all")["objects"]) == ["a.nii"]
            state = get(server, "/info/")["vptct"]["studies"]
            assert (state["reachable"], what in state["problem"]) == (False, True)
            # Nothing is written where the share is to be mounted again.
            assert not studies.exists() or list(studies.iterdir()) == []
        studies.rmdir()
        away.rename(studies)
        assert put_label(server)[0] == 200
        state = get(server, "/info/")["vptct"]["studies"]
        assert state == {"kind": "folder", "reachable": True, "problem": ""}
    assert len(list((studies / "labels/final/a.nii").glob("nodule.*.json"))) == 2

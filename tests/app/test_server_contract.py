"""The server's real answers have the shape of the files in tests/contract, which clients test against too."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from contract_files import CONTRACT, differences, golden
from lib.training.record import STATES
from lib.training.told import _STATUS

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_dicom, write_nrrd
from vpt_plugin.labels import StudyLabel


def test_the_comparison_finds_a_missing_key_and_a_wrong_type() -> None:
    expected = golden("result.json")
    changed = golden("result.json")
    del changed["vptct"]["model"]["version"]
    changed["vptct"]["findings"][0]["clips"][1]["z_mm"] = None
    assert differences(expected, expected) == []
    assert differences(changed, expected) == [
        ".vptct.model: ['version'] only on one side",
        ".vptct.findings[0].clips[1].z_mm: NoneType where list is agreed",
    ]


def test_the_comparison_does_not_let_pass_what_nobody_agreed_on() -> None:
    assert differences({"names": ["a"]}, {"names": []}) == [".names: 1 elements, of which none is agreed"]
    assert differences({"names": []}, {"names": ["a"]}) == []


def test_every_state_of_a_training_is_agreed() -> None:
    agreed = golden("training.json")
    shown = [agreed["running"], *agreed["queue"], *agreed["last"]]
    assert {each["state"] for each in shown} == set(STATES)
    assert {each["status"] for each in shown} == set(_STATUS.values())


def test_the_result_is_as_agreed(client) -> None:
    assert differences(client.infer(image="p02.nii.gz").json(), golden("result.json")) == []


def test_the_info_is_as_agreed(client) -> None:
    assert differences(client.get("/info/").json(), golden("info.json")) == []


def test_the_trainings_are_as_agreed(client) -> None:
    real, agreed = client.get("/train/").json(), golden("training.json")
    assert differences(real, {name: agreed[name] for name in real}) == []
    # Beside them stand the keys of the training that runs, once there is one.
    assert set(agreed) - set(real) == set(agreed["running"])


def test_the_versions_are_as_agreed(client) -> None:
    assert differences(client.get("/versions/nodule_tiny").json(), golden("versions.json")) == []


def test_the_block_of_trainings_in_the_info_is_that_of_their_own_route() -> None:
    block = golden("info.json")["vptct"]["training"]
    assert block == {name: golden("training.json")[name] for name in block}


def test_the_label_is_as_agreed() -> None:
    label = golden("label.json")
    assert StudyLabel.from_json(label).to_json() == label


@pytest.mark.parametrize("study", ["p01--ct", "p03.nrrd"])
def test_the_agreed_label_is_saved_as_it_was_sent(client, study: str) -> None:
    saved = client.save_label(study, (CONTRACT / "label.json").read_bytes())
    assert saved.status_code == 200, saved.text
    assert set(saved.json()) == {
        "image", "label", "version", "sha256", "saved", "previous_version", "previous_annotator"
    }  # fmt: skip
    back = client.get("/datastore/label", params={"label": saved.json()["label"], "tag": "final"})
    assert back.json() == golden("label.json")
    assert hashlib.sha256(back.content).hexdigest() == saved.json()["sha256"]


def test_what_is_told_of_studies_and_their_labels_is_as_agreed(serve, tmp_path: Path) -> None:
    agreed, running = golden("datastore.json"), serve()
    hu = np.repeat(np.array([-900, 40], dtype=np.int16), 128).reshape(4, 8, 8, order="F")
    volume = Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "p")
    write_dicom(volume, tmp_path / "studies" / "p01")
    write_nrrd(volume, tmp_path / "ct.nrrd")
    uid = pydicom.dcmread(next((tmp_path / "studies" / "p01").iterdir())).SeriesInstanceUID
    assert differences(running.ask("GET", f"/datastore/series/{uid}").json(), agreed["series"]) == []
    file = {"file": ("ct.nrrd", (tmp_path / "ct.nrrd").read_bytes())}
    added = running.ask("PUT", "/datastore/", files=file).json()
    assert differences(added, agreed["added"]) == []

    query, label = {"image": added["image"], "task": "pe"}, golden("label.json")

    def save(annotator: str, if_version: int) -> Any:
        content = json.dumps({**label, "annotator": annotator}).encode()
        params = {"image": added["image"], "if_version": if_version}
        return running.ask("PUT", "/datastore/label", params=params, files={"label": ("l.json", content)})

    assert save("ben", 0).status_code == 200
    assert differences(save("anna", 1).json(), agreed["saved"]) == []
    assert save("cleo", 1).status_code == 409
    labels = tmp_path / "studies" / "labels" / "final" / added["image"]
    (labels / "pe.0003.json").write_bytes(b"")
    told = running.ask("GET", "/datastore/label/history", params=query).json()
    assert differences(told, agreed["history"]) == []
    assert (told["newest_version"], len(told["set_aside"]), len(told["damaged"])) == (3, 1, 1)

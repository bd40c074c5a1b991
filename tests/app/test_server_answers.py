"""Answers of the real server: by id, by upload, in a session, whatever the format."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ONE_STUDY_IN_SEVEN_WAYS = [
    "p01--ct",
    "p02.nii.gz",
    "p03.nrrd",
    "dicom.zip",
    "p02.nii.gz",
    "p03.nrrd",
    "volume.mha",
]


def answer(client, workshop, way: str) -> dict:
    upload = next((f for f in (workshop.uploads / way, workshop.studies / way) if f.is_file()), None)
    response = client.infer(file=upload) if upload else client.infer(image=way)
    assert response.status_code == 200, response.text
    return response.json()


def clip_probabilities(result: dict) -> list[float]:
    return [clip["probability"] for clip in result["vptct"]["findings"][0]["clips"]]


def test_one_study_by_id_and_by_upload_in_every_format_gets_one_answer(client, workshop) -> None:
    first, *others = [answer(client, workshop, way) for way in ONE_STUDY_IN_SEVEN_WAYS]
    assert max(clip_probabilities(first)) - min(clip_probabilities(first)) > 0.1
    for other in others:
        assert clip_probabilities(other) == pytest.approx(clip_probabilities(first), abs=1e-4)
        found, expected = other["vptct"]["findings"][0], first["vptct"]["findings"][0]
        assert found["key_slice_mm"] == pytest.approx(expected["key_slice_mm"], abs=1e-3)
    assert client.left_behind() == []


def test_monai_labels_own_list_comes_first(client) -> None:
    result = client.infer(image="p02.nii.gz").json()
    assert list(result) == ["prediction", "vptct"]
    finding = result["vptct"]["findings"][0]
    assert result["prediction"] == [{"idx": 0, "label": "lung_nodule", "score": finding["probability"]}]


@pytest.mark.parametrize("output", ["json", "all"])
def test_the_answer_is_json_whatever_way_a_stock_client_asks_for_it(client, output: str) -> None:
    response = client.infer(
        image="p02.nii.gz", output=output, params='{"client_id": "x", "result_extension": ".nrrd"}'
    )
    assert response.headers["content-type"] == "application/json"
    assert "prediction" in response.json()


STOCK_CLIENT = """
import json, sys
from monailabel.client import MONAILabelClient
client = MONAILabelClient(sys.argv[1], client_id="user-xyz")
by_id = client.infer("nodule_tiny", "p02.nii.gz", {})
by_file = client.infer("nodule_tiny", "p01--ct", {}, file=sys.argv[2])
session = client.create_session(sys.argv[2])["session_id"]
# As its Slicer plugin does: beside the session stands what the volume is called in Slicer.
by_session = client.infer("nodule_tiny", "4: CT 5mm", {}, session_id=session)
client.remove_session(session)
sample = client.next_sample("random", {})
label = client.save_label("p03.nrrd", sys.argv[3])
file = client.download_label(label["label"], "final")
# An answer without a file comes as bytes out of this client.
answers = [[file, body.decode()] for file, body in (by_id, by_file, by_session)]
print(json.dumps({"answers": answers, "models": list(client.info()["models"]),
                  "sample": sample, "label": json.load(open(file)), "studies": client.datastore()}))
"""


def test_monai_labels_own_client_still_works(client, workshop, tmp_path: Path) -> None:
    label = {
        "schema": "vptct.label/1", "task": "nodule", "annotator": "anna", "created": "2026-11-20T20:31:05Z",
        "findings": {"lung_nodule": {"state": "present", "slices_mm": [[-142.5, -118.0]]}},
    }  # fmt: skip
    (tmp_path / "label.json").write_text(json.dumps(label))
    # In a process of its own: the client imports a module that Python is about to remove, with a warning.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STOCK_CLIENT, client.process.url,
         str(workshop.studies / "p02.nii.gz"), str(tmp_path / "label.json")],
        capture_output=True, text=True, check=False, env={"PATH": "", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    files, answers = zip(*told["answers"], strict=True)
    assert files == (None, None, None)
    scores = [json.loads(result)["prediction"][0]["score"] for result in answers]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-4)
    assert "nodule_tiny" in told["models"]
    assert set(told["sample"]) >= {"id", "name"}
    assert "path" not in told["sample"]
    assert told["label"]["findings"] == label["findings"]
    assert told["studies"]["objects"]["p03.nrrd"]["labels"]["final"]


def test_a_session_of_single_slices_is_a_study(client, workshop) -> None:
    slices = sorted((workshop.studies / "p01" / "ct").iterdir())
    created = client.open_session(*((path.name, path.read_bytes()) for path in slices)).json()
    result = client.infer(session_id=created["session_id"])
    assert result.status_code == 200, result.text
    expected = client.infer(image="p01--ct").json()
    assert clip_probabilities(result.json()) == pytest.approx(clip_probabilities(expected), abs=1e-4)


def test_a_study_copied_in_while_the_server_runs_is_found(client, workshop) -> None:
    shutil.copy(workshop.studies / "p02.nii.gz", workshop.studies / "late.nii.gz")
    assert client.infer(image="late.nii.gz").status_code == 200
    (workshop.studies / "late.nii.gz").unlink()
    assert client.infer(image="late.nii.gz").status_code == 404


def test_a_newly_published_version_answers_at_once(client, workshop, publish) -> None:
    before = client.infer(image="p02.nii.gz").json()["vptct"]
    card = publish("nodule", "tiny", seed=7)
    after = client.infer(image="p02.nii.gz").json()["vptct"]
    assert after["model"]["version"] == card.version == before["model"]["version"] + 1
    assert after["findings"][0]["probability"] != before["findings"][0]["probability"]
    models = {model["name"]: model for model in client.get("/info/").json()["vptct"]["models"]}
    assert models["nodule_tiny"]["version"] == card.version


def test_the_warning_of_a_phantom_model_reaches_the_client(client) -> None:
    warnings = client.infer(image="p02.nii.gz").json()["vptct"]["warnings"]
    assert any("phantoms only" in warning for warning in warnings)

"""Over HTTP: where a network looked, on the study's own voxels, as MONAI Label sends images."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import requests
from contract_files import differences, golden
from requests_toolbelt import MultipartDecoder

EXPLAIN = json.dumps({"explain": True})
STUDY = "p02.nii.gz"


def parts(response: requests.Response) -> dict[str, Any]:
    """The parts by their names; a file with what it is called."""
    assert response.status_code == 200, response.text
    found = {}
    for part in MultipartDecoder.from_response(response).parts:
        said = part.headers[b"Content-Disposition"].decode()
        fields = dict(each.strip().split("=", 1) for each in said.split(";")[1:])
        found[fields["name"].strip('"')] = (fields.get("filename", "").strip('"'), part.content)
    return found


def opened(content: bytes, folder: Path) -> nibabel.Nifti1Image:
    path = folder / "map.nii"
    path.write_bytes(gzip.decompress(content))
    return nibabel.Nifti1Image.from_filename(path)


def test_a_heat_map_comes_beside_the_json_and_lies_voxel_on_voxel_on_the_study(
    client, workshop, tmp_path: Path
) -> None:
    found = parts(client.infer(image=STUDY, params=EXPLAIN))
    assert set(found) == {"params", "file"}
    told = json.loads(found["params"][1])
    assert told["vptct"]["seconds"].pop("explain") > 0
    assert differences(told, golden("result.json")) == []
    (fact,) = told["vptct"]["heat_map"]["findings"]
    assert (fact["name"], fact["part"]) == ("lung_nodule", "file")
    assert found["file"][0] == "p02.nii.gz.lung_nodule.nii.gz"

    heat, study = opened(found["file"][1], tmp_path), nibabel.load(workshop.studies / STUDY)
    assert heat.shape == study.shape
    assert heat.affine == pytest.approx(study.affine, abs=1e-3)
    values = heat.get_fdata()
    assert values.min() == 0
    # 255 times the nearest float32 to 1/255.
    assert 0 < values.max() <= 1 + 1e-6
    # NIfTI counts x and y to the other side than DICOM.
    hottest = np.array([*fact["hottest_mm"], 1.0]) * (-1, -1, 1, 1)
    voxel = np.rint(np.linalg.solve(heat.affine, hottest)[:3]).astype(int)
    assert values[tuple(voxel)] == values.max()
    assert client.left_behind() == []


def test_the_answer_in_it_is_that_of_the_plain_question(client) -> None:
    told = json.loads(parts(client.infer(image=STUDY, params=EXPLAIN))["params"][1])
    assert told["prediction"] == client.infer(image=STUDY).json()["prediction"]


def test_the_heat_map_alone_the_facts_alone_or_both(client) -> None:
    both = parts(client.infer(image=STUDY, params=EXPLAIN, output="all"))
    image = client.infer(image=STUDY, params=EXPLAIN, output="image")
    assert image.headers["content-type"] == "application/gzip"
    assert 'filename="p02.nii.gz.lung_nodule.nii.gz"' in image.headers["content-disposition"]
    assert image.content == both["file"][1]
    facts = client.infer(image=STUDY, params=EXPLAIN, output="json").json()["vptct"]["heat_map"]
    assert facts["findings"][0]["part"] == ""
    assert facts["method"] == json.loads(both["params"][1])["vptct"]["heat_map"]["method"]


def test_an_image_of_an_answer_without_a_heat_map_is_refused_in_words(client) -> None:
    refused = client.infer(image=STUDY, output="image")
    assert refused.status_code == 400
    assert "send explain in params" in refused.json()["hint"]


def test_an_upload_is_explained_on_its_own_voxels(client, workshop, tmp_path: Path) -> None:
    found = parts(client.infer(file=workshop.uploads / "volume.mha", params=EXPLAIN))
    assert found["file"][0] == "volume.mha.lung_nodule.nii.gz"
    assert opened(found["file"][1], tmp_path).shape == nibabel.load(workshop.studies / STUDY).shape
    assert client.left_behind() == []


STOCK_CLIENT = """
import json, sys
from monailabel.client import MONAILabelClient
client = MONAILabelClient(sys.argv[1], tmpdir=sys.argv[2])
print(json.dumps(client.infer("nodule_tiny", "p02.nii.gz", {"explain": "lung_nodule"})))
"""


def test_monai_labels_own_client_gets_the_map_as_its_image_and_the_facts_as_its_params(
    client, tmp_path: Path
) -> None:
    # In a process of its own: the client imports a module that Python is about to remove, with a warning.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STOCK_CLIENT, client.process.url, str(tmp_path)],
        capture_output=True, text=True, check=False, env={"PATH": "", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    file, params = json.loads(done.stdout)
    assert file == str(tmp_path / "p02.nii.gz.lung_nodule.nii.gz")
    assert nibabel.load(file).get_fdata().max() > 0
    assert params["vptct"]["heat_map"]["findings"][0]["part"] == "file"

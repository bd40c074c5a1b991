"""A real CT in a real Orthanc behind the real server: listed, classified, labelled, and both restarted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from contract_files import differences, golden
from orthanc_process import OrthancProcess
from server_process import ServerProcess

from vpt_plugin.ct.archive import unpack
from vpt_plugin.ct.reader import read_study
from vpt_plugin.inference import Predictor
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

SERIES = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
SLICES = 133
LOGIN = ("reader", "geheim-7f3a")


@dataclass(frozen=True)
class Site:
    """An archive with one patient, a trained network, and the folders of a server.

    Attributes:
        orthanc: the archive.
        dicom: the patient's folder as it was sent.
        home: where the server keeps labels and cache.
        conf: what the server is told.
    """

    orthanc: OrthancProcess
    dicom: Path
    home: Path
    conf: dict[str, str]

    def server(self) -> ServerProcess:
        credentials = {
            "MONAI_LABEL_DATASTORE_USERNAME": LOGIN[0],
            "MONAI_LABEL_DATASTORE_PASSWORD": LOGIN[1],
            "VPTCT_HOME": str(self.home),
        }
        return ServerProcess(self.orthanc.url, conf=self.conf, environment=credentials)

    @property
    def slices(self) -> Path:
        (folder,) = self.home.glob(f"archives/*/cache/series/{SERIES}/slices")
        return folder


@pytest.fixture(scope="module")
def site(
    new_orthanc: Callable[..., OrthancProcess],
    real_data: Path,
    workshop: Any,
    publish: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    folder = tmp_path_factory.mktemp("site")
    (folder / "dicom").mkdir()
    unpack(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip", folder / "dicom")
    for path in (folder / "dicom").rglob("*.xml"):
        path.unlink()  # DCMTK's storescu stops at the first file that is no DICOM
    orthanc = new_orthanc(login=LOGIN)
    orthanc.send(folder / "dicom")
    publish("nodule", "tiny")
    conf = {
        "tasks": "nodule",
        "models": "tiny",
        "device": "cpu",
        "models_dir": str(workshop.models),
        "unsuitable": "warn",
        "report": "archive",
    }
    conf |= {"scoring": "off"}
    return Site(orthanc, folder / "dicom", folder / "home", conf)


@pytest.fixture(scope="module")
def clips_of_the_folder(site: Site) -> list[float]:
    """What the library says of the same files in a folder."""
    classifier, card = ModelStore(Path(site.conf["models_dir"])).load(TASKS["nodule"], "tiny")
    prediction = Predictor(classifier, TASKS["nodule"], card, device="cpu").predict(read_study(site.dicom))
    return [clip["probability"] for clip in prediction.to_json()["vptct"]["findings"][0]["clips"]]


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[ServerProcess]:
    with site.server() as running:
        yield running


def infer(server: ServerProcess, study: str = SERIES) -> requests.Response:
    return server.http.post(f"{server.url}/infer/nodule_tiny", params={"image": study}, timeout=120)


def clips(answer: requests.Response) -> list[float]:
    assert answer.status_code == 200, answer.text
    return [clip["probability"] for clip in answer.json()["vptct"]["findings"][0]["clips"]]


def listed(server: ServerProcess) -> list[str]:
    return list(server.http.get(f"{server.url}/datastore/?output=all", timeout=60).json()["objects"])


def eventually(is_so: Callable[[], bool], *, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.2)
    return is_so()


def test_the_patient_is_listed_and_has_the_answer_of_the_folder(
    server: ServerProcess, site: Site, clips_of_the_folder: list[float]
) -> None:
    assert listed(server) == [SERIES]
    assert clips(infer(server)) == pytest.approx(clips_of_the_folder, abs=1e-4)
    named = server.http.get(f"{server.url}/datastore/series/{SERIES}", timeout=60)
    assert named.json() == {"image": SERIES}
    assert max(clips_of_the_folder) > 2 * min(clips_of_the_folder)  # else a mistake would not show
    assert len(list(site.slices.iterdir())) == SLICES


def test_a_report_is_stored_in_the_archive_once_and_changes_nothing_that_is_listed(
    server: ServerProcess,
) -> None:
    route, query = f"{server.url}/report/nodule_tiny", {"image": SERIES, "send": "true"}
    first, second = [server.http.post(route, params=query, timeout=120) for _ in range(2)]
    assert first.status_code == 200, first.text
    assert differences(first.json(), golden("report.json")) == []
    assert [each.json()["already_there"] for each in (first, second)] == [False, True]
    assert second.json()["sop_instance_uid"] == first.json()["sop_instance_uid"]
    file = server.http.post(route, params={"image": SERIES}, timeout=120)
    assert pydicom.dcmread(BytesIO(file.content)).SOPInstanceUID == first.json()["sop_instance_uid"]
    assert listed(server) == [SERIES]


def test_half_a_series_in_the_cache_is_completed_not_classified(
    server: ServerProcess, site: Site, clips_of_the_folder: list[float]
) -> None:
    infer(server)
    for path in sorted(site.slices.iterdir())[::2]:
        path.unlink()
    site.orthanc.stop(at_once=True)
    try:
        refused = infer(server)
        assert refused.status_code == 503, refused.text
        assert "not whole in the cache" in refused.json()["detail"]
        assert refused.json()["hint"]
        assert len(list(site.slices.iterdir())) == SLICES // 2
    finally:
        site.orthanc.start()
    assert eventually(lambda: infer(server).status_code == 200)
    assert clips(infer(server)) == pytest.approx(clips_of_the_folder, abs=1e-4)
    assert len(list(site.slices.iterdir())) == SLICES


def test_a_whole_copy_is_classified_while_the_archive_is_down_and_the_answer_says_so(
    server: ServerProcess, site: Site, clips_of_the_folder: list[float]
) -> None:
    assert eventually(lambda: infer(server).status_code == 200)
    site.orthanc.stop(at_once=True)
    try:
        answer = infer(server)
        assert clips(answer) == pytest.approx(clips_of_the_folder, abs=1e-4)
        warnings = answer.json()["vptct"]["warnings"]
        assert any("archive cannot be reached" in each for each in warnings), warnings
    finally:
        site.orthanc.start()


def label(state: str) -> bytes:
    contract = {
        "schema": "vptct.label/1",
        "task": "nodule",
        "findings": {"lung_nodule": {"state": state}},
        "annotator": "reader-1",
        "created": "2026-11-20T20:31:05Z",
        "series_uid": SERIES,
    }
    return json.dumps(contract).encode()


def save(server: ServerProcess, state: str) -> dict[str, Any]:
    saved = server.http.put(
        f"{server.url}/datastore/label",
        params={"image": SERIES, "tag": "final"},
        files={"label": ("label.json", label(state))},
        timeout=60,
    )
    assert saved.status_code == 200, saved.text
    return dict(saved.json())


def test_a_label_is_still_there_after_archive_and_server_were_started_again(
    server: ServerProcess, site: Site
) -> None:
    saved = save(server, "present")
    server.kill()
    site.orthanc.stop(at_once=True)
    try:
        server.start_again()
        # The archive is down: the last listing is known, and the label is there.
        assert listed(server) == [SERIES]
        assert _label(server, saved["label"])["findings"]["lung_nodule"]["state"] == "present"
    finally:
        site.orthanc.start()
    assert save(server, "absent")["label"] != saved["label"]
    assert _label(server, saved["label"])["findings"]["lung_nodule"]["state"] == "present"
    (folder,) = site.home.glob(f"archives/*/labels/final/{SERIES}")
    assert sorted(path.name for path in folder.iterdir()) == ["nodule.0001.json", "nodule.0002.json"]


def _label(server: ServerProcess, label_id: str) -> dict[str, Any]:
    query = {"label": label_id, "tag": "final"}
    answer = server.http.get(f"{server.url}/datastore/label", params=query, timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_server_started_while_the_archive_is_down_says_so_and_recovers_by_itself(
    site: Site, tmp_path: Path, clips_of_the_folder: list[float]
) -> None:
    site.orthanc.stop(at_once=True)
    new_site = Site(site.orthanc, site.dicom, tmp_path / "home", site.conf)
    try:
        with new_site.server() as server:
            assert "cannot be reached" in server.log
            for answer in (infer(server), server.http.get(f"{server.url}/datastore/?output=all", timeout=60)):
                assert answer.status_code == 503, answer.text
                assert set(answer.json()) == {"error", "detail", "hint"}
            site.orthanc.start()
            assert eventually(lambda: infer(server).status_code == 200)
            assert clips(infer(server)) == pytest.approx(clips_of_the_folder, abs=1e-4)
            assert listed(server) == [SERIES]
            assert LOGIN[1] not in server.log
            assert "dcmqi" not in server.log
    finally:
        if site.orthanc.is_stopped:
            site.orthanc.start()


@pytest.mark.parametrize("study", ["1.2.3", "..%2f..%2fetc", "../../../etc/passwd", "a" * 2000])
def test_what_is_no_series_of_the_archive_is_not_found(server: ServerProcess, study: str) -> None:
    # Tests before this one stop the archive, which is remembered for some seconds.
    assert eventually(lambda: infer(server).status_code == 200)
    assert infer(server, study).status_code in (400, 404)

"""What MONAI Label has a route for and this server does not do is refused before anything is read."""

from __future__ import annotations

import pytest
import requests

NOT_OFFERED = [
    ("PUT", "/model/nodule_tiny", "model files are kept from HTTP"),
    ("GET", "/model/nodule_tiny", "model files are kept from HTTP"),
    ("GET", "/model/info/nodule_tiny", "model files are kept from HTTP"),
    ("DELETE", "/model/nodule_tiny", "model files are kept from HTTP"),
    ("PUT", "/train/nodule_tiny", "a training is not changed"),
    ("POST", "/train/", "no training of all models at once"),
    ("DELETE", "/batch/infer", "a batch is ended by who asked for it"),
    ("PUT", "/batch/infer/nodule_tiny", "a batch is ended by who asked for it"),
    ("POST", "/scoring/anything", "no scoring methods are here"),
    ("GET", "/proxy/dicom/x", "other servers are not asked from here"),
    ("POST", "/proxy/dicom/wado/x", "other servers are not asked from here"),
    ("GET", "/logs/", "logs are kept from HTTP"),
    ("GET", "/logs/gpu", "logs are kept from HTTP"),
    ("POST", "/infer/wsi/nodule_tiny?image=p02.nii.gz", "slide images are not read here"),
    ("POST", "/infer/wsi_v2/nodule_tiny?image=p02.nii.gz", "slide images are not read here"),
    ("POST", "/reload", "the server is not reloaded over HTTP"),
]


@pytest.mark.parametrize(("method", "route", "detail"), NOT_OFFERED)
def test_what_is_not_offered_is_refused_with_the_way_out(
    client, method: str, route: str, detail: str
) -> None:
    body = {"file": ("x.pt", b"x")} if method in ("PUT", "POST") else None
    response = requests.request(method, f"{client.process.url}{route}", files=body, timeout=60)
    assert response.status_code == 405
    assert response.json()["detail"] == detail
    assert response.json()["hint"]
    assert client.left_behind() == []


@pytest.mark.parametrize("route", ["/train/?check_if_running=true", "/batch/infer", "/scoring/"])
def test_a_client_that_asks_what_is_running_is_told_that_nothing_is(client, route: str) -> None:
    response = client.get(route)
    assert response.status_code == 404
    assert "No " in response.json()["detail"], response.text

"""A real server with a file of tokens: who gets in where, by MONAI Label's own client, too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import requests
from server_process import ServerProcess

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_nifti
from vpt_plugin.store.tokens import ROLES, TokenFile


@dataclass(frozen=True)
class Site:
    """A server with one study, and somebody of every role.

    Attributes:
        tokens: the token of each role's owner, who is called ``the-<role>``.
    """

    process: ServerProcess
    file: TokenFile
    tokens: dict[str, str]

    def ask(self, method: str, path: str, *, role: str = "", **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        with requests.Session() as session:
            session.trust_env = False
            url = f"{self.process.url}{path}"
            return session.request(method, url, headers=headers, timeout=60, allow_redirects=False, **options)

    def save(self, annotator: str | None, *, role: str) -> requests.Response:
        label = {
            "schema": "vptct.label/1",
            "task": "nodule",
            "findings": {"lung_nodule": {"state": "absent"}},
            "created": "2026-11-20T20:31:05Z",
            **({} if annotator is None else {"annotator": annotator}),
        }
        files = {"label": ("label.json", json.dumps(label).encode())}
        return self.ask("PUT", "/datastore/label?image=p01.nii.gz", role=role, files=files)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    studies = root / "studies"
    studies.mkdir()
    volume = Volume(np.zeros((30, 32, 32), np.int16), (2.5, 3.0, 3.0), (0.0, 0.0, 0.0), np.eye(3), "p01")
    write_nifti(volume, studies / "p01.nii.gz")
    file = TokenFile(root / "tokens")
    tokens = {role: file.add(f"the-{role}", role) for role in ROLES}
    conf = {
        "tasks": "nodule",
        "models": "tiny",
        "device": "cpu",
        "scoring": "off",
        "token_file": str(file.path),
    }
    process = ServerProcess(studies, conf=conf)
    process.http.headers["Authorization"] = f"Bearer {tokens['user']}"
    with process:
        yield Site(process, file, tokens)


OPEN = {("GET", "/auth/"), ("POST", "/auth/token")}
# What MONAI Label has beside what it lists in its schema.
UNLISTED = [
    ("POST", "/reload"), ("PUT", "/datastore/"), ("DELETE", "/datastore/"), ("POST", "/train/"),
    ("PUT", "/datastore/updatelabelinfo"), ("POST", "/scoring/"), ("POST", "/infer/wsi/x"),
    ("GET", "/ohif/index.html"), ("GET", "/proxy/dicom/x"), ("POST", "/proxy/dicom/stow/x"),
    ("GET", "/proxy/dicom/wado/x"), ("GET", "/proxy/dicom/qido/x"), ("GET", "/auth"), ("GET", "/info"),
    ("GET", "/nothing/there"), ("OPTIONS", "/info/"), ("PATCH", "/info/"), ("HEAD", "/info/"),
]  # fmt: skip


def listed(schema: dict[str, Any]) -> list[tuple[str, str]]:
    """The routes of a schema, with something in the place of every parameter."""
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, methods in schema["paths"].items()
        for method in methods
    ]


def monai_labels_routes() -> list[tuple[str, str]]:
    """The routes that MONAI Label itself lists; asked in a process of its own, where no app changes them."""
    program = "import json; from monailabel.app import app; print(json.dumps(app.openapi()))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, check=True, env={**os.environ, "MONAI_LABEL_AUTH_ENABLE": "true"},
    )  # fmt: skip
    return listed(json.loads(done.stdout.splitlines()[-1]))


def test_no_route_answers_without_a_login_but_those_that_lead_to_one(site: Site) -> None:
    ours = listed(site.ask("GET", "/openapi.json").json())
    routes = sorted({*ours, *monai_labels_routes(), *UNLISTED} - OPEN)
    assert len(routes) > 50
    answers = {route: site.ask(*route).status_code for route in routes}
    assert {route: status for route, status in answers.items() if status != 401} == {}


def test_a_wrong_token_is_refused_as_none_is(site: Site) -> None:
    wrong = Site(site.process, site.file, {"x": "guess"})
    assert wrong.ask("GET", "/info/", role="x").status_code == 401


def test_the_pages_that_are_the_same_everywhere_need_no_login(site: Site) -> None:
    for page in ("/", "/docs", "/openapi.json"):
        assert site.ask("GET", page).status_code == 200
    assert site.ask("GET", "/auth/").json()["enabled"] is True


def test_who_has_a_role_may_use_the_server(site: Site) -> None:
    assert [site.ask("GET", "/info/", role=role).status_code for role in ROLES] == [200] * 4


def test_a_label_is_by_who_is_logged_in(site: Site) -> None:
    for said in (None, "", "the-annotator"):
        saved = site.save(said, role="annotator")
        assert saved.status_code == 200, saved.text
        label = site.ask("GET", f"/datastore/label?label={saved.json()['label']}&tag=final", role="user")
        assert label.json()["annotator"] == "the-annotator"


def test_a_label_in_anothers_name_is_refused_but_from_an_admin(site: Site) -> None:
    refused = site.save("dr-no", role="reviewer")
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "the label's annotator is 'dr-no', and the-reviewer is logged in.",
    )
    saved = site.save("dr-no", role="admin")
    assert saved.status_code == 200, saved.text


def test_a_user_saves_no_labels_and_is_told_which_role_is_missing(site: Site) -> None:
    refused = site.save(None, role="user")
    assert (refused.status_code, refused.json()) == (
        403,
        {
            "error": "RoleMissingError",
            "detail": "this needs the role annotator, and the-user is user.",
            "hint": "Who runs this server gives out roles.",
        },
    )


def test_a_token_that_is_taken_away_opens_nothing_though_the_server_was_not_started_again(site: Site) -> None:
    guest = Site(site.process, site.file, {"guest": site.file.add("guest", "user")})
    assert guest.ask("GET", "/info/", role="guest").status_code == 200
    site.file.remove("guest")
    assert guest.ask("GET", "/info/", role="guest").status_code == 401


MONAI_LABELS_CLIENT = """
import sys
from monailabel.client.client import MONAILabelClient, MONAILabelClientException
url, token = sys.argv[1:]
client = MONAILabelClient(url)
print(client.auth_enabled(), client.auth_valid_token())
try:
    client.auth_token("the-user", "guess")
except MONAILabelClientException as error:
    print(error.status_code)
client.update_auth(client.auth_token("the-user", token))
print(client.auth_valid_token(), client.info()["name"])
"""


def test_monai_labels_own_client_logs_in_with_name_and_token(site: Site) -> None:
    # In a process of its own, for it leaves its sockets open. MONAI Label's Slicer plugin has the same one.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MONAI_LABELS_CLIENT, site.process.url, site.tokens["user"]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-3:] == ["True False", "401", "True VPTCT"]


def test_no_token_is_in_the_servers_log(site: Site) -> None:
    assert not [role for role, token in site.tokens.items() if token in site.process.log]

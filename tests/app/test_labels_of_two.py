"""Two annotators: both versions stay, a conflict is seen by both, and no label is replaced in silence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from vpt_plugin.store.tokens import TokenFile


def label(state: str, *, by: str = "", created: str = "2026-11-20T20:31:05Z") -> dict[str, Any]:
    return {
        "schema": "vptct.label/1",
        "task": "nodule",
        "findings": {"lung_nodule": {"state": state}},
        "annotator": by,
        "created": created,
    }


class Site:
    """A server with the study ``a.nii`` and the annotators anna and bert."""

    def __init__(self, serve: Any, root: Path) -> None:
        file = TokenFile(root / "tokens")
        self.tokens = {name: file.add(name, "annotator") for name in ("anna", "bert")}
        self.running = serve({"token_file": str(file.path)})
        self.studies = root / "studies"
        (self.studies / "a.nii").write_bytes(b"voxels")

    def save(self, name: str, said: dict[str, Any], *, upon: int | None = None) -> httpx.Response:
        query = {"image": "a.nii", **({} if upon is None else {"if_version": upon})}
        files = {"label": ("label.json", json.dumps(said).encode())}
        return self.ask("PUT", "/datastore/label", name=name, params=query, files=files)

    def history(self, image: str = "a.nii", task: str = "nodule") -> httpx.Response:
        return self.ask("GET", "/datastore/label/history", params={"image": image, "task": task})

    def ask(self, method: str, path: str, *, name: str = "anna", **options: Any) -> httpx.Response:
        return self.running.ask(method, path, token=self.tokens[name], **options)

    def versions(self) -> list[tuple[int, str, str]]:
        return [
            (each["version"], each["annotator"], each["label"]["findings"]["lung_nodule"]["state"])
            for each in self.history().json()["versions"]
        ]


@pytest.fixture
def site(serve, tmp_path: Path) -> Site:
    return Site(serve, tmp_path)


def test_a_label_upon_a_version_that_is_not_the_newest_is_a_conflict_with_both_labels(site: Site) -> None:
    assert site.save("anna", label("present"), upon=0).json()["version"] == 1
    refused = site.save("bert", label("absent"), upon=0)
    assert refused.status_code == 409
    assert refused.json()["detail"] == (
        "a.nii: this nodule label was made upon version 0, but the newest is version 1 by anna."
    )
    conflict = refused.json()["conflict"]
    assert (conflict["expected_version"], conflict["newest_version"]) == (0, 1)
    assert conflict["newest"]["annotator"] == "anna"
    assert conflict["newest"]["findings"] == {"lung_nodule": {"state": "present"}}
    assert conflict["yours"]["annotator"] == "bert"
    assert conflict["yours"]["findings"] == {"lung_nodule": {"state": "absent"}}
    assert site.versions() == [(1, "anna", "present")]


def test_the_refused_label_is_set_aside_until_its_annotator_saves_upon_the_newest(site: Site) -> None:
    site.save("anna", label("present"))
    site.save("bert", label("absent"), upon=0)
    (aside,) = site.history().json()["set_aside"]
    assert (aside["annotator"], aside["expected_version"], aside["newest_version"], aside["settled"]) == (
        "bert", 0, 1, False,
    )  # fmt: skip
    assert aside["label"]["findings"] == {"lung_nodule": {"state": "absent"}}

    saved = site.save("bert", label("indeterminate"), upon=1).json()
    assert (saved["version"], saved["previous_version"], saved["previous_annotator"]) == (2, 1, "anna")
    assert [each["settled"] for each in site.history().json()["set_aside"]] == [True]
    assert site.versions() == [(1, "anna", "present"), (2, "bert", "indeterminate")]


def test_without_a_version_both_labels_are_kept_and_the_second_is_told_of_the_first(site: Site) -> None:
    first = site.save("anna", label("present")).json()
    second = site.save("bert", label("absent")).json()
    assert (first["previous_version"], first["previous_annotator"]) == (None, None)
    assert (second["previous_version"], second["previous_annotator"]) == (1, "anna")
    assert site.versions() == [(1, "anna", "present"), (2, "bert", "absent")]
    assert site.history().json()["set_aside"] == []


@pytest.mark.parametrize("created", ["2026-11-20T20:31:05Z", ""], ids=["own time", "the server's time"])
def test_a_label_whose_answer_was_lost_can_be_sent_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, created: str
) -> None:
    first = site.save("anna", label("present", created=created), upon=0)
    # Half a minute later.
    monkeypatch.setattr("lib.datastore.now", lambda: "2099-01-01T00:00:30Z")
    again = site.save("anna", label("present", created=created), upon=0)
    assert (again.status_code, again.json()) == (200, first.json())
    assert site.versions() == [(1, "anna", "present")]
    # Another annotator who says the same is somebody else.
    assert site.save("bert", label("present", created=created), upon=0).status_code == 409
    assert len(site.history().json()["set_aside"]) == 1


def test_a_label_comes_back_byte_for_byte(site: Site) -> None:
    saved = site.save("anna", label("present")).json()
    got = site.ask("GET", "/datastore/label", params={"label": saved["label"], "tag": "final"}, name="bert")
    file = site.studies / "labels" / "final" / "a.nii" / "nodule.0001.json"
    assert got.content == file.read_bytes()
    assert hashlib.sha256(got.content).hexdigest() == saved["sha256"]
    assert str(site.studies) not in str(got.headers)
    assert site.history().json()["versions"][0]["sha256"] == saved["sha256"]


def test_the_history_of_what_is_not_there_is_a_404(site: Site) -> None:
    assert site.history().json() == {
        "image": "a.nii", "task": "nodule", "newest_version": 0, "versions": [],
        "set_aside": [], "damaged": [],
    }  # fmt: skip
    assert site.history(image="b.nii").status_code == 404
    unknown = site.history(task="heart")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "unknown task 'heart'")


def test_the_labels_of_a_study_that_is_gone_are_still_told(site: Site) -> None:
    site.save("anna", label("present"))
    (site.studies / "a.nii").unlink()
    site.running.app.datastore().refresh()
    assert site.versions() == [(1, "anna", "present")]


def test_a_damaged_file_is_told_and_hides_no_other(site: Site) -> None:
    site.save("anna", label("present"))
    site.save("bert", label("absent"))
    (site.studies / "labels" / "final" / "a.nii" / "nodule.0002.json").write_bytes(b'{"schema"')
    told = site.history().json()
    assert [each["version"] for each in told["versions"]] == [1]
    assert [each["version"] for each in told["damaged"]] == [2]
    assert str(site.studies) not in json.dumps(told)
    # What counts as the newest is the file, whether it can be read or not: nothing takes its place.
    refused = site.save("anna", label("present"), upon=1)
    assert (refused.status_code, refused.json()["conflict"]["newest"]) == (409, None)
    assert site.save("anna", label("present"), upon=2).json()["version"] == 3

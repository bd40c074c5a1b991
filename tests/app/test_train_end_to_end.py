"""A site's whole way over HTTP, with a real server and real trainings: from the first label to a rollback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract_files import differences, golden
from server_process import ServerProcess
from training_site import QUICK, WORSE, Site, conf, environment, write_phantoms

from vpt_plugin.store.labels import LabelFolder

_ORDER = ["preparing", "training", "validating", "comparing", "publishing", "done"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    for folder in ("studies", "models"):
        (root / folder).mkdir()
    labels = write_phantoms(root / "studies", 36)
    with ServerProcess(root / "studies", conf=conf(root), environment=environment(root)) as process:
        yield Site(process, root, labels)


def test_a_site_labels_trains_infers_labels_more_retrains_and_chooses(site: Site) -> None:
    names = sorted(site.labels)
    refused = site.ask("POST", "/train/nodule_tiny", json=QUICK)
    assert refused.status_code == 409
    assert "0 studies with lung nodule, 0 without" in refused.json()["detail"]

    # 24 phantoms, half of them with nodules, those with the slices that show them.
    site.label(names[:24])
    assert site.told("GET", "/info/")["vptct"]["tasks"][0]["labels"]["present"] == 12
    assert (
        LabelFolder(site.root / "studies" / "labels")
        .latest(names[0], "nodule")
        .label.findings["lung_nodule"]
        .slices_mm
    )
    first = site.train(QUICK)
    now = site.wait(first, lambda told: (told["progress"] or {}).get("state") == "training")
    assert now["progress"]["steps"] == 36
    assert site.told("GET", "/info/")["vptct"]["training"]["running"]["id"] == first
    done = site.wait(first)
    assert done["state"] == "done", done
    # Quick states may fall between two looks.
    assert [state for state in _ORDER if state in site.seen[first]] == site.seen[first]
    assert {"preparing", "training"} <= set(site.seen[first])
    outcome = done["outcome"]
    assert (outcome["version"], outcome["served"], outcome["comparison"]) == (1, True, None)
    assert outcome["validation_auroc"]["lung_nodule"]["n"] >= 6
    assert site.answers()[0] == 1
    report = site.ask("GET", f"/train/{first}/report")
    assert report.status_code == 200
    assert report.headers["content-security-policy"].startswith("default-src 'none'")

    # 12 more: what was on the validation side stays there, and both versions are compared on it.
    site.label(names[24:])
    retrained = site.wait(site.train({**QUICK, "epochs": 4}))["outcome"]
    assert retrained["version"] == 2
    compared = retrained["comparison"]
    assert compared["candidate"]["n"] == compared["served"]["n"] >= 6
    assert retrained["decision"].startswith(f"On the same {compared['gain']['n']} validation studies")
    served = 2 if retrained["served"] else 1
    assert site.answers()[0] == served

    # A worse one is kept, not served, and whoever asks is told both figures.
    before = site.answers()
    worse = site.wait(site.train(WORSE))["outcome"]
    assert (worse["version"], worse["served"]) == (3, False)
    assert "the served version stays" in worse["decision"].lower()
    figures = worse["comparison"]
    assert figures["candidate"]["value"] < figures["served"]["value"]
    for each in ("candidate", "served"):
        assert f"{figures[each]['value']:.3f}" in worse["decision"]
    assert site.answers() == before

    versions = site.told("GET", "/versions/nodule_tiny")
    assert [each["version"] for each in versions["versions"]] == [1, 2, 3]
    assert versions["served"] == served
    assert versions["versions"][2]["comparison"]["better"] is False
    site.told("POST", "/versions/nodule_tiny/promote?version=3&why=a%20test")
    assert site.answers()[0] == 3
    assert site.told("POST", "/versions/nodule_tiny/rollback")["served"] == served
    assert site.answers() == before
    assert site.workers() == []


def test_what_is_told_of_real_trainings_is_as_agreed(site: Site) -> None:
    told = site.told("GET", "/train/")
    assert len(told["last"]) == 3
    assert differences(told, golden("training.json")) == []
    assert differences(site.told("GET", "/info/"), golden("info.json")) == []
    assert differences(site.told("GET", "/versions/nodule_tiny"), golden("versions.json")) == []
    assert str(site.root) not in json.dumps(told)


def test_a_training_leaves_its_folder_with_what_it_was_told_and_nothing_half_done(site: Site) -> None:
    kept = sorted(path.name for path in (site.models / ".trainings").iterdir())
    assert [name for name in kept if name.endswith(".job.json")] == [f"000{n}.job.json" for n in (1, 2, 3)]
    assert list(Path(site.models).rglob(".unfinished-*")) == []

"""The client reads what is agreed, refuses what is not, and passes over what a newer server adds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from VPTCTLib.contract.info import Inference, StudyNeeds, Uploads, read_info
from VPTCTLib.contract.label import FindingLabel, LabelHistory, read_history, read_label, read_saved
from VPTCTLib.contract.next_study import read_next
from VPTCTLib.contract.result import read_result
from VPTCTLib.contract.training import read_training, read_trainings
from VPTCTLib.contract.versions import read_versions
from VPTCTLib.contract.worklist import read_worklists
from VPTCTLib.errors import ContractError

CONTRACT = Path(__file__).resolve().parents[1] / "contract"


def golden(name: str) -> Any:
    return json.loads((CONTRACT / f"{name}.json").read_text(encoding="utf-8"))


AGREED: dict[str, tuple[Callable[[object], object], Any]] = {
    "result": (read_result, golden("result")),
    "info": (read_info, golden("info")),
    "label": (read_label, golden("label")),
    "next": (read_next, golden("active")["next"]),
    "worklists": (read_worklists, golden("active")["state"]),
    "trainings": (read_trainings, golden("training")),
    "versions": (read_versions, golden("versions")),
}


def with_more(data: Any) -> Any:
    """The same with a new key in every object."""
    if isinstance(data, dict):
        # Where keys are names, a new one would be another finding.
        named = bool(data) and all(isinstance(each, (dict, int, float)) for each in data.values())
        new = {} if named else {"zz_new": {"of": ["a", "newer", "server"]}}
        return {**{name: with_more(each) for name, each in data.items()}, **new}
    return [with_more(each) for each in data] if isinstance(data, list) else data


def test_an_older_servers_result_and_info_are_read() -> None:
    said, info = golden("result"), golden("info")
    for key in ("suitability", "heat_map"):
        del said["vptct"][key]
    for key in ("versions", "version_disagreement"):
        del said["vptct"]["uncertainty"][key]
    del said["vptct"]["findings"][0]["conformal"], info["vptct"]["features"]
    result, features = read_result(said), read_info(info).features
    assert (result.suitability, result.heat_map, result.versions) == (None, None, ())
    assert (result.findings[0].conformal, result.findings[0].settled) == (None, "present")
    assert (features.explain, features.report) == (False, "off")


@pytest.mark.parametrize("name", AGREED)
def test_what_a_newer_server_adds_changes_nothing(name: str) -> None:
    read, data = AGREED[name]
    known, newer = read(data), read(with_more(data))
    for field in vars(known):
        # These keep the JSON itself.
        if field not in ("raw", "model_suggestion", "running", "queue", "last", "models", "trainings"):
            assert getattr(newer, field) == getattr(known, field)


@pytest.mark.parametrize("name", AGREED)
def test_another_schema_and_no_schema_are_refused(name: str) -> None:
    read, data = AGREED[name]
    for said, words in (("vptct.other/2", "says 'vptct.other/2'"), (None, "names no schema")):
        changed = json.loads(json.dumps(data))
        (changed.get("vptct") or changed)["schema"] = said
        with pytest.raises(ContractError, match=words):
            read(changed)


@pytest.mark.parametrize("name", AGREED)
@pytest.mark.parametrize("data", [None, [], "text", 5, True, {}])
def test_what_is_no_answer_at_all_is_refused(name: str, data: object) -> None:
    with pytest.raises(ContractError):
        AGREED[name][0](data)


def test_the_result_is_read_as_it_is_agreed() -> None:
    result = read_result(golden("result"))
    (finding,) = result.findings
    assert (finding.name, finding.probability, finding.threshold) == ("pulmonary_embolism", 0.83, 0.41)
    assert (finding.decision, finding.key_slice_mm) == ("present", -128.0)
    assert (finding.conformal.decision, finding.conformal.error_rate, finding.settled) == (
        "present", 0.1, "present",
    )  # fmt: skip
    assert [check.verdict for check in result.suitability.checks] == ["fits", "doubtful", "unknown"]
    assert result.suitability.verdict == "doubtful"
    assert result.heat_map.of("pulmonary_embolism").hottest_mm == (12.0, -40.5, -128.0)
    assert (result.versions[0].version, result.version_disagreement) == (2, 0.06)
    assert finding.clips[1].z_mm == (-150.0, -111.25)
    assert result.model.validation_auroc is not None
    assert result.model.validation_auroc.ci95 == (0.81, 0.94)
    assert result.raw == golden("result")


def test_a_place_that_is_not_as_agreed_is_named() -> None:
    changed = golden("result")
    changed["vptct"]["findings"][0]["clips"][1]["z_mm"] = [1, "x"]
    with pytest.raises(ContractError, match=r"findings\[0\]\.clips\[1\]\.z_mm\[1\] is a text, not a number"):
        read_result(changed)
    del changed["vptct"]["findings"][0]["probability"]
    with pytest.raises(ContractError, match=r"has no vptct\.result/1: findings\[0\]\.probability"):
        read_result(changed)


@pytest.mark.parametrize("nothing", [None, [None, None]])
def test_an_undefined_figure_and_a_missing_interval_are_none_and_shown_as_such(nothing: object) -> None:
    changed = golden("result")
    changed["vptct"]["model"]["validation_auroc"] = {"value": None, "ci95": nothing, "n": 3}
    auroc = read_result(changed).model.validation_auroc
    assert auroc is not None
    assert (auroc.value, auroc.ci95, str(auroc)) == (None, None, "n/a")
    changed["vptct"]["model"]["validation_auroc"] = {"value": 1, "ci95": nothing, "n": 3}
    assert str(read_result(changed).model.validation_auroc) == "1.00 (n = 3)"
    changed["vptct"]["model"]["validation_auroc"] = None
    assert read_result(changed).model.validation_auroc is None


def test_every_state_of_a_training_is_read() -> None:
    state = read_trainings(golden("training"))
    assert state.running is not None
    assert state.running.progress is not None
    assert (state.running.progress.epoch, state.running.progress.seconds_left) == (4, 610.5)
    assert [each.state for each in state.last] == ["done", "failed", "interrupted", "stopped"]
    done, failed = state.last[:2]
    assert done.outcome is not None
    assert done.outcome.comparison is not None
    assert (done.outcome.comparison.better, done.outcome.comparison.gain.value) == (False, -0.02)
    assert failed.failure is not None
    assert failed.failure.last_words == ("RuntimeError: an illegal memory access was encountered",)
    assert read_training(golden("training")["queue"][0]).waits_or_runs


def test_a_version_whose_card_is_damaged_is_told_beside_the_others() -> None:
    versions = read_versions(golden("versions"))
    damaged, served, candidate = versions.versions
    assert (damaged.problem[:15], damaged.thresholds) == ("the model card ", None)
    assert (served.served, served.thresholds) == (True, {"pulmonary_embolism": 0.41})
    assert candidate.comparison is not None
    assert versions.before == 1


def test_the_next_study_and_the_worklists_are_read_as_agreed() -> None:
    offer = read_next(AGREED["next"][1])
    first, second = offer.proposals
    assert first.lease is not None
    assert (first.lease.holder, first.lease.minutes, first.label_version) == ("anna", 30.0, 0)
    assert (second.score, second.probabilities, second.reading) == (None, None, "second")
    assert second.cluster is None
    typical = {**AGREED["next"][1]["vptct"], "studies": [golden("active")["typical_study"]]}
    (proposal,) = read_next({"vptct": typical}).proposals
    assert proposal.cluster is not None
    assert proposal.cluster.studies == 31
    assert offer.worklist.free == 334
    assert offer.retrain is not None
    assert offer.retrain.due
    (task,) = read_worklists(AGREED["worklists"][1]).tasks
    assert task.agreement is not None
    assert task.agreement.pairs[0].readers == ("anna", "ben")
    assert task.agreement.findings["pulmonary_embolism"].kappa.value == 0.74
    # Two who always say the same of all: nothing is defined.
    assert (task.agreement.pairs[1].observed, task.agreement.pairs[1].kappa.value) == (1.0, None)
    own, other = read_worklists(AGREED["worklists"][1]).leases
    assert [(each.reader, each.holder, each.minutes) for each in (own, other)] == [
        ("anna", "anna", 30.0), ("ben", "", 30.0),
    ]  # fmt: skip
    info = read_info(golden("info"))
    assert (info.worklists.tasks[0].agreement, info.worklists.leases) == (None, ())


def test_nothing_left_is_an_offer_without_studies() -> None:
    data = json.loads(json.dumps(AGREED["next"][1]))
    empty = {"vptct": {**data["vptct"], "studies": [], "model": None, "retrain": None}}
    assert read_next(empty).proposals == ()


def test_a_label_is_written_as_it_is_read() -> None:
    assert read_label(golden("label")).to_json() == golden("label")
    with pytest.raises(ValueError, match="present"):
        FindingLabel("maybe")
    with pytest.raises(ValueError, match="is absent"):
        FindingLabel("absent", ((1.0, 2.0),))
    with pytest.raises(ValueError, match="low to high"):
        FindingLabel("present", ((2.0, 1.0),))


def test_a_damaged_file_counts_for_the_newest_version() -> None:
    told = {
        "image": "s",
        "task": "pe",
        "versions": [],
        "set_aside": [],
        "damaged": [{"version": 3, "problem": ""}],
    }
    history: LabelHistory = read_history(told)
    assert history.newest_version == 3
    # What the server says of it counts: a file may be there that it does not even name.
    assert read_history({**told, "newest_version": 4}).newest_version == 4


def test_the_info_says_what_an_upload_needs_and_an_older_server_says_nothing_of_it() -> None:
    info = read_info(golden("info"))
    forms = ("twelve_bits", "differences")
    assert info.uploads == Uploads(4_000_000_000, sessions=True, session_minutes=60.0, forms=forms)
    assert info.tasks[0].needs == StudyNeeds(hu_low=-1024.0, hu_high=3071.0, pixels=256)
    assert len(info.server_id) == 32
    assert info.inference == Inference(running=1, waiting=2)
    # A network that is asked alone takes slices of its own size, whatever the others of its task take.
    alone = replace(info.models[0], pixels=112)
    assert info.tasks[0].needs_of(alone) == StudyNeeds(hu_low=-1024.0, hu_high=3071.0, pixels=112)
    assert info.tasks[0].needs_of(replace(alone, pixels=None)) == info.tasks[0].needs
    assert replace(info.tasks[0], needs=None).needs_of(alone) is None
    older = golden("info")
    for name in ("uploads", "server_id", "inference"):
        del older["vptct"][name]
    del older["vptct"]["tasks"][0]["needs"]
    info = read_info(older)
    assert (info.uploads, info.server_id, info.inference, info.tasks[0].needs) == (None, "", None, None)
    without = golden("info")
    without["vptct"]["uploads"] = {"max_bytes": 5, "sessions": False, "session_minutes": None}
    without["vptct"]["server_id"] = None
    info = read_info(without)
    assert (info.uploads, info.server_id) == (Uploads(5, sessions=False, session_minutes=None), "")


def test_what_is_told_of_studies_and_their_labels_is_read_as_agreed() -> None:
    agreed = golden("datastore")
    history = read_history(agreed["history"])
    assert (history.newest_version, len(history.versions), len(history.set_aside)) == (3, 1, 1)
    assert history.versions[0].label.findings["pulmonary_embolism"].slices_mm == ((-142.5, -118.0),)
    assert (history.damaged[0].version, history.set_aside[0].settled) == (3, False)
    saved = read_saved(agreed["saved"])
    assert (saved.study, saved.version, saved.previous_annotator) == ("p17--ct", 2, "ben")


def test_versions_that_could_not_be_compared_are_told_with_why() -> None:
    agreed = json.loads(json.dumps(golden("versions")))
    why = "The new version cannot be compared with the served one: too few validation studies."
    nothing = {"figure": None, "served": None, "candidate": None, "gain": None}
    agreed["versions"][2]["comparison"] = {"with_version": 3, "better": False, "sentence": why, **nothing}
    comparison = read_versions(agreed).versions[2].comparison
    assert comparison is not None
    assert (comparison.sentence, comparison.figure, comparison.gain) == (why, None, None)

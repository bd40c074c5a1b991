"""The client and the real server: what a reader does in a day, without Slicer."""

from __future__ import annotations

import json
import threading
import time
import zipfile
from collections import deque
from pathlib import Path

import pydicom
import pytest
from VPTCTLib.client import Client
from VPTCTLib.contract.label import FindingLabel, StudyLabel
from VPTCTLib.errors import (
    CancelledError,
    LabelConflictError,
    LeaseError,
    NoOfferError,
    NotAllowedError,
    NotLoggedInError,
    NotThereError,
    NotTrainedError,
    RefusedError,
    TrainingRefusedError,
)
from VPTCTLib.routes.worklist import Wish, new_wish_id
from VPTCTLib.transport.cancel import Cancel
from VPTCTLib.transport.connection import Connection
from VPTCTLib.transport.login import PasswordLogin
from VPTCTLib.which_study import OnServer, Origin, ToUpload, which_study

ABSENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("absent")})
PRESENT = StudyLabel(
    "nodule", {"lung_nodule": FindingLabel("present", ((-20.5, 11.0),), "probable")}, comment="two lines\nä"
)


def test_the_info_tells_what_can_be_asked(site) -> None:
    info = site.client().access.info()
    assert [task.name for task in info.tasks] == ["nodule", "pe"]
    (nodule,) = info.models_of("nodule")
    (pe,) = info.models_of("pe")
    assert (nodule.name, nodule.trained, nodule.thresholds) == ("nodule_tiny", True, {"lung_nodule": 0.5})
    assert str(nodule.validation_auroc["lung_nodule"]) == "0.91 (0.83 to 0.97, n = 15)"
    assert (pe.trained, pe.version, pe.validation_auroc) == (False, None, None)
    assert nodule.settings["epochs"] > 0
    assert info.worklists.strategies[0].name == "auto"
    assert info.studies.kind == "folder"


def test_one_logs_in_by_token_or_by_name_and_is_told_who_one_is(site) -> None:
    asked = Client(Connection(site.relay.url)).access.login_wanted()
    assert (asked.kind, asked.wanted) == ("token_file", True)
    person = site.client("rita").access.who_am_i()
    assert (person.name, person.may("reviewer"), person.may("admin")) == ("rita", True, False)
    by_name = Connection(site.relay.url, login=PasswordLogin("ben", site.tokens["ben"]))
    assert Client(by_name).access.who_am_i().name == "ben"


def test_a_wrong_login_is_refused_in_the_servers_words(site) -> None:
    for login in (None, PasswordLogin("anna", "wrong")):
        with pytest.raises(NotLoggedInError) as refused:
            Client(Connection(site.relay.url, login=login)).access.info()
        assert refused.value.status == 401
        assert refused.value.hint


def test_who_may_not_is_told_which_role_is_missing(site) -> None:
    with pytest.raises(NotAllowedError, match="needs the role annotator, and uwe is user"):
        site.client("uwe").labels.save(site.new_study(), ABSENT)


def test_a_study_of_the_server_is_classified(site) -> None:
    result = site.client().studies.classify("nodule_tiny", "p01--ct")
    (finding,) = result.findings
    assert (result.task, result.model.name, finding.name) == ("nodule", "tiny", "lung_nodule")
    assert finding.decision == ("present" if finding.probability >= finding.threshold else "absent")
    lowest, highest = finding.clips[0].z_mm[0], finding.clips[-1].z_mm[1]
    assert lowest <= finding.key_slice_mm <= highest
    assert result.suggestion() == {
        "model": "nodule/tiny", "version": result.model.version, "lung_nodule": finding.probability,
    }  # fmt: skip
    assert json.loads(json.dumps(result.raw))["vptct"]["task"] == "nodule"


def test_an_uploaded_study_gets_the_answer_of_the_same_one_on_the_server(site) -> None:
    studies = site.client().studies
    seen: list[tuple[int, int]] = []
    slices = sorted((site.root / "studies" / "p01" / "ct").iterdir())
    session = studies.upload(slices, progress=lambda *done: seen.append(done))
    assert seen[-1][0] == seen[-1][1] > sum(path.stat().st_size for path in slices)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    uploaded = studies.classify_upload("nodule_tiny", session)
    there = studies.classify("nodule_tiny", "p01--ct")
    one_file = studies.classify_file("nodule_tiny", site.root / "studies" / "s00.nii")
    expected = pytest.approx(there.findings[0].probability, abs=1e-4)
    assert uploaded.findings[0].probability == expected
    assert one_file.findings[0].probability == expected
    studies.forget_upload(session)
    studies.forget_upload(session)
    with pytest.raises(NotThereError, match="no such session"):
        studies.classify_upload("nodule_tiny", session)


def test_an_untrained_network_a_missing_study_and_no_study_at_all_are_told_apart(
    site, tmp_path: Path
) -> None:
    studies = site.client().studies
    with pytest.raises(NotTrainedError) as untrained:
        studies.classify("pe_tiny", "s00.nii")
    assert untrained.value.hint
    with pytest.raises(NotThereError):
        studies.classify("nodule_tiny", "s99.nii")
    (tmp_path / "x.nii").write_bytes(b"no image at all")
    with pytest.raises(RefusedError) as unreadable:
        studies.classify_file("nodule_tiny", tmp_path / "x.nii")
    assert unreadable.value.status == 422


def test_a_cancelled_classification_ends_at_once_and_the_server_goes_on(site) -> None:
    studies, cancel = site.client().studies, Cancel()
    threading.Timer(0.05, cancel.ask).start()
    with pytest.raises(CancelledError):
        deque((studies.classify("nodule_tiny", "s00.nii", cancel) for _ in range(1000)), maxlen=0)
    # One that would never be answered ends as well; the relay holds it for as long as this test wants.
    held, relay = Cancel(), site.relay
    relay.hung_up.clear()
    relay.holds = "POST /infer/"
    threading.Timer(0.05, held.ask).start()
    try:
        with pytest.raises(CancelledError):
            studies.classify("nodule_tiny", "s00.nii", held)
        assert relay.hung_up.wait(10)
    finally:
        relay.holds = ""
    assert studies.classify("nodule_tiny", "s00.nii").task == "nodule"


def test_of_a_cancelled_upload_the_server_keeps_nothing(site, tmp_path: Path) -> None:
    def large() -> list[Path]:
        files = site.process.temporary.parent.rglob("*")
        return [path for path in files if path.is_file() and path.stat().st_size > 1 << 20]

    big, cancel, before = tmp_path / "big.nii", Cancel(), large()
    with big.open("wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(CancelledError):
        site.client().studies.upload(
            [big], progress=lambda done, _: cancel.ask() if done > 4 << 20 else None, cancel=cancel
        )
    deadline = time.monotonic() + 30
    while large() != before:
        assert time.monotonic() < deadline, large()
        time.sleep(0.02)


def test_studies_are_downloaded_as_the_server_has_them(site, tmp_path: Path) -> None:
    studies = site.client().studies
    assert {"p01--ct", "s00.nii"} <= set(studies.ids())
    seen: list[tuple[int, int]] = []
    file = studies.download("s00.nii", tmp_path, progress=lambda *done: seen.append(done))
    there = (site.root / "studies" / "s00.nii").read_bytes()
    assert (file.name, file.read_bytes()) == ("study.nii", there)
    assert seen[-1] == (len(there), len(there))
    packed = studies.download("p01--ct", tmp_path)
    assert packed.name == "study.zip"
    with zipfile.ZipFile(packed) as archive:
        assert len(archive.namelist()) == len(list((site.root / "studies" / "p01" / "ct").iterdir()))
    with pytest.raises(NotThereError):
        studies.download("s99.nii", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.nii", "study.zip"]


def test_a_label_is_saved_and_found_in_the_history(site) -> None:
    labels, study = site.client().labels, site.new_study()
    assert labels.history(study, "nodule").newest_version == 0
    saved = labels.save(study, PRESENT, if_version=0)
    assert (saved.study, saved.version, saved.previous_version) == (study, 1, None)
    (version,) = labels.history(study, "nodule").versions
    assert (version.annotator, version.sha256) == ("anna", saved.sha256)
    assert version.label.findings == PRESENT.findings
    assert version.label.comment == PRESENT.comment
    again = site.client("ben").labels.save(study, ABSENT, if_version=1)
    assert (again.version, again.previous_annotator) == (2, "anna")


def test_of_two_readers_upon_one_version_the_second_gets_both_labels(site) -> None:
    study = site.new_study()
    site.client("anna").labels.save(study, PRESENT, if_version=0)
    with pytest.raises(LabelConflictError) as conflict:
        site.client("ben").labels.save(study, ABSENT, if_version=0)
    told = conflict.value.conflict
    assert (told.expected_version, told.newest_version) == (0, 1)
    assert (told.newest.annotator, told.yours.annotator) == ("anna", "ben")
    assert told.newest.findings["lung_nodule"].state == "present"
    (aside,) = site.client().labels.history(study, "nodule").set_aside
    assert (aside.annotator, aside.settled) == ("ben", False)


def test_a_study_is_offered_kept_given_back_and_skipped(site) -> None:
    worklist = site.client("ben").worklist
    offer = worklist.next(Wish("nodule", "random"))
    (proposal,) = offer.proposals
    assert (proposal.reading, proposal.lease.holder) == ("first", "ben")
    assert proposal.why
    longer = worklist.extend(proposal.study, holder=proposal.lease.holder)
    assert longer.until > proposal.lease.until
    assert proposal.study in [held.study for held in worklist.state().leases]
    with pytest.raises(LeaseError) as not_hers:
        site.client("anna").worklist.extend(proposal.study)
    assert "ben" not in str(not_hers.value)
    worklist.give_back(proposal.study)
    (again,) = worklist.next(Wish("nodule", "random")).proposals
    assert again.study == proposal.study
    worklist.skip(again.study, "unsure", task="nodule", comment="a cough")
    assert (again.study, "a cough") in [(skip.study, skip.comment) for skip in worklist.state().skips]
    with pytest.raises(NoOfferError, match="typical needs studies that the network has looked at"):
        worklist.next(Wish("nodule", "typical"))
    with pytest.raises(ValueError, match="choose from poor_quality"):
        worklist.skip("s00.nii", "boring", task="nodule")


def test_a_training_is_ordered_watched_and_stopped_and_what_is_served_stays(site) -> None:
    reviewer = site.client("rita")
    with pytest.raises(TrainingRefusedError):
        reviewer.trainings.order("pe_tiny")
    with pytest.raises(RefusedError) as unknown:
        reviewer.trainings.order("nodule_tiny", {"speed": 11})
    assert unknown.value.status == 400
    for label in (PRESENT, PRESENT, ABSENT, ABSENT):
        reviewer.labels.save(site.new_study(), label)
    ordered = reviewer.trainings.order("nodule_tiny", {"epochs": 50, "folds": 0, "validation_share": 0.34})
    assert ordered.waits_or_runs
    assert ordered.by == "rita"
    assert reviewer.trainings.one(ordered.id).settings["epochs"] == 50
    stopped = reviewer.trainings.stop(ordered.id)
    assert (stopped.state, stopped.waits_or_runs) == ("stopped", False)
    assert [each.id for each in reviewer.trainings.state().last][:1] == [ordered.id]
    assert reviewer.versions.of("nodule_tiny").served == 2


def test_a_version_is_promoted_and_rolled_back(site) -> None:
    versions = site.client("rita").versions
    before = versions.of("nodule_tiny")
    assert [(each.version, each.served) for each in before.versions] == [(1, False), (2, True)]
    assert versions.promote("nodule_tiny", 1, why="a try") == 1
    changed = versions.of("nodule_tiny")
    assert (changed.served, changed.before) == (1, 2)
    assert (changed.changes[-1].by, changed.changes[-1].why) == ("rita", "a try")
    assert site.client().studies.classify("nodule_tiny", "s00.nii").model.version == 1
    assert versions.rollback("nodule_tiny") == 2
    with pytest.raises(NotAllowedError):
        site.client("anna").versions.promote("nodule_tiny", 2)


def test_a_study_of_this_computer_alone_becomes_one_of_the_server_and_is_labelled(
    site, tmp_path: Path
) -> None:
    file = tmp_path / "Müller^Anna.nii"
    # One voxel of air is water: other bytes than those of any study here.
    content = bytearray((site.root / "studies" / "s00.nii").read_bytes())
    content[-2:] = b"\0\0"
    file.write_bytes(content)
    anna, seen = site.client(), []
    study = anna.studies.add(file, progress=lambda sent, size: seen.append((sent, size)))
    assert study.startswith("upload-")
    assert "Anna" not in study
    assert seen[-1][0] == seen[-1][1] > len(content)
    assert anna.studies.add(file) == study
    assert anna.labels.save(study, ABSENT, if_version=0).version == 1
    assert anna.access.info().uploads.add_studies
    with pytest.raises(NotAllowedError, match="needs the role annotator"):
        site.client("uwe").studies.add(file)
    broken = tmp_path / "broken.nrrd"
    broken.write_bytes(b"no study")
    with pytest.raises(RefusedError) as refused:
        anna.studies.add(broken)
    assert (refused.value.status, refused.value.error) == (422, "UnreadableStudyError")


def test_a_study_that_the_server_has_is_named_and_any_other_uploaded(site) -> None:
    client = site.client()
    folder = client.access.info().studies
    from_here = Origin(server=client.address, study="p01--ct")
    assert which_study(from_here, client, folder) == OnServer("p01--ct")
    assert isinstance(which_study(Origin(client.address, "s99.nii"), client, folder), ToUpload)
    assert isinstance(which_study(Origin("http://elsewhere", "p01--ct"), client, folder), ToUpload)
    assert isinstance(which_study(Origin(series_uid="1.2.3"), client, folder), ToUpload)
    (series, examination) = (
        pydicom.dcmread(next((site.root / "studies" / "p01" / "ct").iterdir()))[name].value
        for name in ("SeriesInstanceUID", "StudyInstanceUID")
    )
    assert which_study(Origin(series_uid=series), client, folder) == OnServer("p01--ct")
    with_examination = Origin(series_uid=series, examination=examination)
    assert which_study(with_examination, client, folder) == OnServer("p01--ct")


def test_a_lost_answer_of_the_next_study_keeps_no_second_study(site) -> None:
    client, wish, wish_id = site.client("ben"), Wish("nodule", "random"), new_wish_id()
    (first,) = client.worklist.next(wish, wish_id=wish_id).proposals
    (again,) = client.worklist.next(wish, wish_id=wish_id).proposals
    assert (again.study, again.lease, again.why) == (first.study, first.lease, first.why)
    (other,) = client.worklist.next(wish).proposals
    assert other.study != first.study
    held = {each.study: each for each in client.worklist.state().leases}
    assert set(held) == {first.study, other.study}
    assert (held[first.study].holder, held[first.study].minutes) == ("ben", 30.0)
    # A reviewer sees who has it, and not by what it is held.
    seen = {each.study: each for each in site.client("rita").worklist.state().leases}
    assert (seen[first.study].reader, seen[first.study].holder) == ("ben", "")
    for each in held:
        assert client.worklist.extend(each).minutes == 30.0
        client.worklist.give_back(each)
    (new,) = client.worklist.next(wish, wish_id=wish_id).proposals
    client.worklist.give_back(new.study)

"""Whatever two servers over one folder do to the labels, in any order: nothing is lost, both tell it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vpt_plugin.errors import LabelConflictError
from vpt_plugin.labels import STATES, FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder

STUDIES = st.sampled_from(("a", "b.nii.gz"))
SERVERS = st.sampled_from((0, 1))
ANNOTATORS = st.sampled_from(("anna", "bert", ""))


class TwoServers(RuleBasedStateMachine):
    """Two LabelFolders over one folder, beside a plain list of all versions that must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name) / "labels"
        # One believes its last look, the other looks each time.
        self.servers = (LabelFolder(root, fresh_seconds=3600), LabelFolder(root))
        # By study: every version's label, or None where it was damaged.
        self.versions: dict[str, list[StudyLabel | None]] = {"a": [], "b.nii.gz": []}
        self.set_aside: list[tuple[str, StudyLabel]] = []
        self.labels = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    def new_label(self, annotator: str, state: str) -> StudyLabel:
        self.labels += 1
        findings = {"lung_nodule": FindingLabel(state)}
        return StudyLabel("nodule", findings, annotator, comment=f"label {self.labels}")

    @rule(server=SERVERS, study=STUDIES, annotator=ANNOTATORS, state=st.sampled_from(STATES))
    def save(self, server: int, study: str, annotator: str, state: str) -> None:
        label = self.new_label(annotator, state)
        saved = self.servers[server].save(study, label)
        self.versions[study].append(label)
        assert (saved.version, saved.label) == (len(self.versions[study]), label)
        # What is saved here counts at once, however long the last look is believed.
        assert label in [each.label for each in self.servers[server].newest()]

    @rule(
        server=SERVERS, study=STUDIES, annotator=ANNOTATORS, state=st.sampled_from(STATES),
        behind=st.integers(-1, 2),
    )  # fmt: skip
    def save_upon(self, server: int, study: str, annotator: str, state: str, behind: int) -> None:
        label = self.new_label(annotator, state)
        seen = len(self.versions[study]) - behind
        if behind == 0:
            self.versions[study].append(label)
            assert self.servers[server].save(study, label, if_version=seen).version == seen + 1
        else:
            with pytest.raises(LabelConflictError) as refused:
                self.servers[server].save(study, label, if_version=seen)
            assert refused.value.newest_version == len(self.versions[study])
            self.set_aside.append((study, label))

    @rule(server=SERVERS, study=STUDIES)
    def send_again(self, server: int, study: str) -> None:
        if self.versions[study] and (label := self.versions[study][-1]) is not None:
            seen = len(self.versions[study]) - 1
            assert self.servers[server].save(study, label, if_version=seen).version == seen + 1

    @rule(study=STUDIES)
    def damage_the_next(self, study: str) -> None:
        number = len(self.versions[study]) + 1
        folder = self.servers[0].root / "final" / study
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"nodule.{number:04d}.json").write_text("{")
        self.versions[study].append(None)

    @invariant()
    def both_tell_all_there_is(self) -> None:
        for server in self.servers:
            for study, versions in self.versions.items():
                history = server.history(study, "nodule")
                assert [(each.version, each.label) for each in history] == [
                    (number, label) for number, label in enumerate(versions, 1) if label is not None
                ]
                assert len(server.damaged(study)) == versions.count(None)
                assert server.newest_version(study, "nodule") == len(versions)
            asides = [(each.study, each.label) for each in server.conflicts()]
            assert sorted(asides, key=str) == sorted(self.set_aside, key=str)

    @invariant()
    def whoever_looks_each_time_counts_every_study(self) -> None:
        readable = [[each for each in versions if each] for versions in self.versions.values()]
        newest = [labels[-1] for labels in readable if labels]
        counts = self.servers[1].counts("nodule")
        assert counts == {
            state: sum(each.findings["lung_nodule"].state == state for each in newest) for state in STATES
        }


TestTwoServers = TwoServers.TestCase
TestTwoServers.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)

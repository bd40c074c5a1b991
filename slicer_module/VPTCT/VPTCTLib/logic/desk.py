"""Desk: all that the panel knows and can do, put together in one place."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable

from ..consent import Consents
from ..jobs import Jobs
from ..outbox import Outbox
from ..scene.origin import origin_of
from ..scene.parameters import Parameters, scene_of
from ..settings import Settings
from ..ticker import Ticker
from ..transport.retry import RetryRule
from .adding_studies import AddingStudies
from .archive_reports import ArchiveReports
from .blind_reading import is_read_blind
from .choice import Choice
from .classification import Classification
from .downloads import Downloads
from .evidence import Evidence
from .evidence_views import EvidenceViews
from .heat_maps import HeatMaps
from .held_studies import HeldStudies
from .kept_labels import KeptLabels
from .label_draft import LabelDraft
from .label_history import History
from .lease_timer import LeaseTimer
from .messages import Messages
from .next_studies import NextStudies
from .questions import Questions, RememberedQuestions
from .reading_clock import ReadingClock
from .server_link import ServerLink
from .server_volumes import ServerVolumes
from .study_ends import StudyEnds
from .study_on_screen import StudyOnScreen
from .study_routine import StudyRoutine, may_leave
from .submission import Submission
from .trainings import TrainingWatch
from .versions import VersionsOfModel


@dataclass(frozen=True)
class Surroundings:
    """What the desk stands on; Slicer's in the panel, the tests' in tests.

    Attributes:
        ticker: of the main thread.
        settings: of this computer.
        questions: ask the reader.
        outbox_folder: where labels wait for a server that is away.
        scratch_folder: for files that are made for an upload or come from a download; emptied at the end.
        series_of_instance: the SeriesInstanceUID of a SOPInstanceUID, "" where it is not known; of Slicer's
            DICOM database.
        examination_of_series: the StudyInstanceUID of a SeriesInstanceUID, likewise.
        clock: seconds since 1970.
        retry: how often the server is asked again, where that is safe.
    """

    ticker: Ticker
    settings: Settings
    questions: Questions
    outbox_folder: Path
    scratch_folder: Path
    series_of_instance: Callable[[str], str] = lambda uid: ""
    examination_of_series: Callable[[str], str] = lambda uid: ""
    clock: Callable[[], float] = time.time
    retry: RetryRule = field(default_factory=RetryRule)


class Desk:
    """One per panel.

    Args:
        around: what it stands on.

    Attributes:
        jobs: what runs in threads.
        messages: what the reader is told.
        settings: what the reader chose.
        questions: what the reader is asked.
        outbox: labels that wait.
        server: the server.
        choice: the task and the network.
        study: on screen, and where the server has it.
        classification: of it.
        draft: the label form of it.
        evidence: where in the patient the answer comes from.
        evidence_views: what of it Slicer's own views show.
        heat_maps: where in the volume the network saw it.
        archive_reports: have it stored where the hospital keeps results.
        reading_clock: how long it is looked at.
        kept_labels: labels on their way to the server.
        history: what was said about it before.
        adding: makes it a study of the server.
        server_volumes: the studies of the server that are in the scene.
        held: what the server keeps for this reader.
        study_ends: skips studies and gives them back.
        leases: keep those that are open.
        next_studies: asks for the next one and brings it.
        submission: makes labels of the form.
        routine: what happens by itself from one study to the next.
        trainings: what runs.
        versions: of the network; which one answers.
        scratch_folder: for files that may go when the module ends.
    """

    def __init__(self, around: Surroundings) -> None:
        self.settings = around.settings
        self.jobs = Jobs(around.ticker)
        self.messages = Messages()
        self.questions = RememberedQuestions(around.questions, Consents(self.settings.store), around.clock)
        self.outbox = Outbox(around.outbox_folder, clock=around.clock)
        self.scratch_folder = around.scratch_folder
        self.server = ServerLink(self.jobs, around.ticker, self.settings, self.messages, retry=around.retry)
        self.server.ready.connect(lambda: self.questions.meet(self.server))
        self.choice = Choice(self.server)
        self.study = StudyOnScreen(
            self.server, self.choice, self.jobs, self.messages, around.ticker,
            lambda volume: origin_of(volume, around.series_of_instance, around.examination_of_series),
        )  # fmt: skip
        self.classification = Classification(
            self.server, self.choice, self.study, self.jobs, around.ticker, self.messages, self.questions,
            self.settings, around.scratch_folder, around.clock,
        )  # fmt: skip
        self.server_volumes = ServerVolumes(
            self.server, self.study, Downloads(self.jobs, around.scratch_folder), around.ticker
        )
        self.held = HeldStudies(self.server, self.jobs, self.settings.store)
        self.study_ends = StudyEnds(self.server, self.held, self.jobs, self.messages)
        self.leases = LeaseTimer(
            self.server, self.held, self.jobs, self.messages, around.ticker, around.clock,
            lambda study: self.server_volumes.find(study) is not None,
        )  # fmt: skip
        self.next_studies = NextStudies(
            self.server, self.choice, self.server_volumes, self.held, self.leases, self.study_ends,
            self.jobs, self.messages, lambda: may_leave(self.draft, self.questions),
        )  # fmt: skip
        is_blind = partial(is_read_blind, self.held, self.next_studies, self.server_volumes)
        self.draft = LabelDraft(
            self.study, self.choice, self.classification, self.settings, self.messages, is_blind
        )
        self.evidence = Evidence(
            self.study, self.classification, self.draft, self.settings, around.ticker, is_blind
        )
        self.evidence_views = EvidenceViews(self.evidence)
        self.heat_maps = HeatMaps(
            self.server, self.study, self.classification, self.evidence, self.settings, around.ticker
        )
        self.archive_reports = ArchiveReports(
            self.server, self.choice, self.study, self.evidence, self.jobs, self.messages, self.questions
        )
        self.reading_clock = ReadingClock(self.draft, around.ticker, around.clock)
        self.evidence.moved.connect(self.reading_clock.note_activity)
        self.kept_labels = KeptLabels(self.outbox, self.server, self.jobs, around.ticker, self.messages)
        self.history = History(
            self.server, self.study, self.choice, self.kept_labels, self.jobs, self.messages, is_blind
        )
        for look in (self.draft.follow, self.evidence.look, self.history.follow):
            self.next_studies.changed.connect(look)
        self.adding = AddingStudies(
            self.server, self.study, self.questions, self.jobs, self.messages, around.scratch_folder
        )
        self.submission = Submission(
            self.server, self.study, self.draft, self.history, self.kept_labels, self.adding, self.messages,
            self.questions, self.next_studies.label_version_of,
        )  # fmt: skip
        self.routine = StudyRoutine(
            self.settings, self.next_studies, self.server_volumes, self.study_ends, self.draft,
            self.submission, self.classification,
        )  # fmt: skip
        self.trainings = TrainingWatch(self.server, self.choice, self.jobs, self.messages, around.ticker)
        self.versions = VersionsOfModel(self.server, self.choice, self.trainings, self.jobs, self.messages)

    def use_scene(self, parameters: Parameters) -> None:
        """Work on this scene from now on; called again whenever one was opened.

        Args:
            parameters: what it remembers.
        """
        self.choice.use(parameters)
        self.study.use(parameters)
        self.heat_maps.use(scene_of(parameters))
        self.next_studies.use_scene(scene_of(parameters))

    def leave_scene(self) -> None:
        """The scene closes: what runs for a study of it is dropped. Labels that are kept are still sent."""
        self.routine.leave_scene()
        self.next_studies.leave_scene()
        self.classification.leave()
        self.study.leave()
        self.heat_maps.leave()
        self.choice.use(None)

    def close(self) -> None:
        """End all that runs: the panel is going. What is kept on disk stays there."""
        self.reading_clock.stop()
        self.kept_labels.close()
        self.heat_maps.leave()
        self.evidence.close()
        self.leases.close()
        self.next_studies.leave_scene()
        self.trainings.close()
        self.classification.close()
        self.study.leave()
        self.server.close()
        self.jobs.close()

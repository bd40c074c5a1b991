"""View: what is known of a task's studies when somebody asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.active.chosen_scores import StudyScores
from vpt_plugin.active.offers import SECOND, Wish
from vpt_plugin.active.standing import Known
from vpt_plugin.labels import STATES
from vpt_plugin.store.label_versions import SavedLabel
from vpt_plugin.store.leases import Held
from vpt_plugin.tasks import ReadingTask


@dataclass(frozen=True)
class View:
    """What is known of a task's studies when somebody asks.

    Attributes:
        task: they are labelled for.
        studies: that are there, sorted.
        labels: the newest label of each study of the task, there or not, by study.
        scores: of all these.
        in_doubt: studies with a label of the task that cannot be read.
        late: studies whose label changed after ``labels`` were read.
    """

    task: ReadingTask
    studies: tuple[str, ...]
    labels: Mapping[str, SavedLabel]
    scores: StudyScores
    in_doubt: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()

    def known(self, held: Held, wish: Wish) -> Known:
        """With who has what, and what this reader was offered before."""
        return Known(
            self.studies,
            self.labels.keys() | self.in_doubt | self.late,
            held.leases.keys(),
            held.history.skipped_for(wish.reader, wish.task),
            held.history.seen_by(wish.reader) if wish.unseen else frozenset(),
            self.scores.unreadable.keys(),
            self.scores.dates,
            {
                study
                for study, lease in held.leases.items()
                if (lease.task, lease.reading) == (wish.task, SECOND)
            },
        )

    def pool(self, known: Known, free: Iterable[str]) -> Pool:
        """What a strategy sees; the arrays of the scores are handed on, not copied.

        Args:
            known: of the same studies.
            free: those that may be chosen.
        """
        scores = self.scores
        may, taken = (np.zeros(len(scores.studies), dtype=bool) for _ in range(2))
        may[[scores.rows[study] for study in free]] = True
        # Of what is in somebody's hands some may be gone from where the studies come from.
        closed = (scores.rows.get(study) for study in {*known.labelled, *known.held})
        taken[[row for row in closed if row is not None]] = True
        return Pool(
            scores.studies,
            self.task.findings,
            scores.geometry.embeddings,
            scores.geometry.key_embeddings,
            scores.probabilities,
            scores.disagreement,
            self._states(),
            may,
            taken,
        )

    @cached_property
    def labels_here(self) -> Mapping[str, SavedLabel]:
        """The newest label of each study that is there."""
        there = set(self.studies)
        return {study: saved for study, saved in self.labels.items() if study in there}

    def counts(self) -> dict[str, dict[str, int]]:
        """How many studies that are there have each state of each finding, by their newest label."""
        counts = {finding: dict.fromkeys(STATES, 0) for finding in self.task.findings}
        for saved in self.labels_here.values():
            for finding, said in saved.label.findings.items():
                if finding in counts:
                    counts[finding][said.state] += 1
        return counts

    def counts_on(self, study: str) -> bool:
        """Whether its label is known, and is the newest as far as anybody knows."""
        return study in self.labels and study not in self.in_doubt | self.late

    def _states(self) -> NDArray[np.float64]:
        """Of studies that are gone, nan: their labels bring no cold start to its end."""
        states = np.full((len(self.scores.studies), len(self.task.findings)), np.nan)
        for study, saved in self.labels_here.items():
            for column, finding in enumerate(self.task.findings):
                said = saved.label.findings.get(finding)
                if said is not None and said.state != "indeterminate":
                    states[self.scores.rows[study], column] = said.state == "present"
        return states

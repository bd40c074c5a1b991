"""The test studies that all cells of a dataset answered: only on the same ones can they be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.cell_records import Answers
from vpt_plugin.training.metrics.bootstrap import PatientBootstrap, Resampled
from vpt_plugin.words import in_a_sentence, studies_in_words

# A cell that lacks more of the test studies is set aside, so that it takes them from no other cell.
MOST_LACKING = 0.1
_WAY_OUT = "Remove the folders of these cells, and run the same study again."
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SharedStudies:
    """Test studies with their states, and what every cell says of them.

    Attributes:
        findings: in the order of the columns.
        studies, patients: (n,), by the name of the study, so that the same patients are drawn whichever cells
            are done.
        states: (n, findings), 1 present, 0 absent, nan unknown.
        probabilities: (n, findings) by the id of the cell.
        set_aside: why a cell is not among them, by its id.
        note: how many studies are left out for want of an answer of every cell; "" for none.
    """

    findings: tuple[str, ...]
    studies: tuple[str, ...]
    patients: tuple[str, ...]
    states: Floats
    probabilities: Mapping[str, Floats]
    set_aside: Mapping[str, str]
    note: str

    @classmethod
    def of(cls, answers: Mapping[str, Answers]) -> SharedStudies:
        """The studies that all cells answered.

        What most cells answered counts as the test side. A cell that lacks more than a tenth of it is set
        aside; of the rest those studies are taken that all of them answered.

        Args:
            answers: of one dataset by the id of the cell; one cell or more.

        Raises:
            ConfigurationError: two cells differ in their findings or in what they hold for the truth, so that
                the labels were changed between them.
        """
        tables = {name: _table_of(each) for name, each in answers.items()}
        answered = Counter(map(frozenset, tables.values()))
        test_side = max(answered, key=lambda studies: (answered[studies], len(studies)))
        set_aside = {
            name: f"it answered {len(test_side & set(table))} of the {len(test_side)} test studies"
            for name, table in tables.items()
            if len(test_side - set(table)) > MOST_LACKING * len(test_side)
        }
        kept = {name: each for name, each in answers.items() if name not in set_aside}
        common = set.intersection(*(set(tables[name]) for name in kept))
        ever = set.union(*(set(tables[name]) for name in kept))
        studies = tuple(sorted(common))
        rows = {name: np.array([tables[name][study] for study in studies], dtype=int) for name in kept}
        _require_one_truth(kept, rows, studies)
        first = next(iter(kept))
        return cls(
            findings=kept[first].findings,
            studies=studies,
            patients=tuple(kept[first].patients[row] for row in rows[first]),
            states=kept[first].states[rows[first]],
            probabilities=MappingProxyType(
                {name: each.probabilities[rows[name]] for name, each in kept.items()}
            ),
            set_aside=MappingProxyType(set_aside),
            note=""
            if common == ever
            else f"on the {len(common)} of {studies_in_words(len(ever))} "
            "of the test side that all cells answered",
        )

    def bootstrap(self, *, resamples: int, seed: int) -> PatientBootstrap:
        """Draws the patients of these studies."""
        return PatientBootstrap(self.patients, resamples=resamples, seed=seed)

    @property
    def known_any(self) -> int:
        """Number of studies with the state of at least one finding."""
        return int((~np.isnan(self.states)).any(axis=1).sum())

    def one_sided(self, finding: str) -> str:
        """Why the finding has no AUROC; "" where it has one."""
        states = set(self.states[:, self.findings.index(finding)].tolist())
        lacking = [word for state, word in ((1.0, "with"), (0.0, "without")) if state not in states]
        return (
            f"no test study {' or '.join(lacking)} {in_a_sentence(finding)}, so no AUROC" if lacking else ""
        )

    def auroc(self, bootstrap: PatientBootstrap, cell: str, finding: str) -> Resampled:
        """The AUROC of a cell for a finding, over the studies whose state is known."""
        column = self.findings.index(finding)
        truth, said = self.states[:, column], self.probabilities[cell][:, column]
        return bootstrap.figures(("auroc",), truth, said, rows=~np.isnan(truth))["auroc"]


def _table_of(answers: Answers) -> dict[str, int]:
    """The row of every study."""
    rows = {study: row for row, study in enumerate(answers.studies)}
    if len(rows) < len(answers.studies):
        twice = Counter(answers.studies).most_common(1)[0][0]
        raise ConfigurationError(f"the cell {answers.cell} answered {twice} twice.", _WAY_OUT)
    return rows


def _require_one_truth(
    answers: Mapping[str, Answers], rows: Mapping[str, NDArray[np.int64]], studies: tuple[str, ...]
) -> None:
    first = next(iter(answers))
    one = answers[first]
    for name, other in answers.items():
        if other.findings != one.findings:
            raise ConfigurationError(
                f"the cells {first} and {name} are of other findings: {', '.join(one.findings)} and "
                f"{', '.join(other.findings)}.", _WAY_OUT,
            )  # fmt: skip
        ours, theirs = one.states[rows[first]], other.states[rows[name]]
        unlike = ~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all(axis=1)
        unlike |= [
            one.patients[mine] != other.patients[its]
            for mine, its in zip(rows[first], rows[name], strict=True)
        ]
        if unlike.any():
            raise ConfigurationError(
                f"the cells {first} and {name} do not agree on what is true of "
                f"{studies[int(unlike.argmax())]}: its labels or its patient were changed between them.",
                _WAY_OUT,
            )

"""``badge``: studies whose labels would change the model most, each in another direction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.pool import Choice
from vpt_plugin.acquisition.question import Question
from vpt_plugin.acquisition.uncertain import most_uncertain, undecided

# Candidates: so many of the most uncertain. Of the others the gradient is next to nothing.
CANDIDATES = 2000


def badge(question: Question) -> list[Choice]:
    """BADGE (Ash et al., ICLR 2020): k-means++ on the gradients that a label would cause in the last layer.

    The label is taken to be what the model says now; the gradient of the cross-entropy of finding f is then
    (p - 1 or p - 0) times the key embedding, and that of a study is those of its findings side by side. Long
    gradients are uncertain studies, different directions are different ones. The score is the length.

    Drawn from the 2,000 most uncertain.
    """
    rows, _ = most_uncertain(question, max(CANDIDATES, question.n))
    points = question.geometry.key
    rows = rows[points.known[rows]]
    errors, gradients = _gradients(question, rows, points.points[rows])
    lengths = np.linalg.norm(gradients * errors[:, None], axis=1) * np.sqrt(len(question.columns))
    return [
        Choice(
            int(rows[at]), float(lengths[at]), "badge",
            f"Its label would change the model much. {undecided(question, int(rows[at]))}.",
        )
        for at in _drawn(errors, gradients, min(question.n, len(rows)), question.random_state())
    ]  # fmt: skip


def _drawn(
    errors: NDArray[np.float64], gradients: NDArray[np.float64], n: int, random: np.random.RandomState
) -> list[int]:
    """``n`` different positions.

    scikit-activeml may give one twice, when all gradients that are left are zero or alike; then it is asked
    again for what is missing.
    """
    from skactiveml.pool import Badge

    drawn: list[int] = []
    while len(drawn) < n:
        left = np.setdiff1d(np.arange(len(errors)), drawn)
        picked = Badge(random_state=random).query(
            left[:, None].astype(np.float64), np.full(len(left), np.nan),
            clf=_stub(errors, gradients), fit_clf=False, batch_size=n - len(drawn),
        )  # fmt: skip
        drawn += [int(left[at]) for at in dict.fromkeys(picked)]
    return drawn


def _gradients(
    question: Question, rows: NDArray[np.int64], points: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How wrong the label at hand may be, (rows,), 0 to 0.5; and (rows, findings x dimensions) which way.

    Their product is the gradient, but for the root of the number of findings, without which the first could
    be more than 0.5.
    """
    assert question.pool.probabilities is not None
    probabilities = question.pool.probabilities[rows][:, list(question.columns)]
    wrong = probabilities - (probabilities >= 0.5)
    lengths = np.linalg.norm(wrong, axis=1)
    directions = wrong / np.where(lengths > 0, lengths, 1.0)[:, None]
    gradients = (directions[:, :, None] * points[:, None, :]).reshape(len(rows), -1)
    return lengths / np.sqrt(len(question.columns)), gradients


def _stub(errors: NDArray[np.float64], embeddings: NDArray[np.float64]) -> Any:
    """A classifier of two classes that answers, for rows given by their position, what was computed before.

    scikit-activeml makes of it ``(error, -error)`` times the embedding: the gradient twice, with both signs.
    """
    from skactiveml.base import SkactivemlClassifier

    class Stub(SkactivemlClassifier):  # type: ignore[misc]
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Stub:  # noqa: N803  as its base says
            return self

        def predict_proba(self, X: Any) -> tuple[Any, Any]:  # noqa: N803
            at = np.asarray(X)[:, 0].astype(np.int64)
            return np.column_stack([1 - errors[at], errors[at]]), embeddings[at]

    return Stub(classes=[0, 1])

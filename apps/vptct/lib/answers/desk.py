"""AnswerDesk: equal questions are computed once, and the last answers are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from vpt_plugin.inference import Prediction

from .key import AnswerKey

# An answer takes a few kilobytes; one of a network that looks at every slice by itself up to 100.
_KEEP = 500
# Files go along with some. The heat map of a series of 300 slices takes 1 to 5 MB.
_KEEP_BYTES = 256 << 20
Gone = Callable[[], bool]


@dataclass
class Question:
    """A question, and how many wait for its answer.

    Attributes:
        key: what is asked.
        answer: comes to all who wait, be it an error. It is there at once where it was kept.
        waiting: how many there are. Nobody is left: the work ends.
    """

    key: AnswerKey
    answer: Future[Prediction] = field(default_factory=Future)
    waiting: int = 0

    def __post_init__(self) -> None:
        # From now on who does not wait any longer cannot cancel it for the others.
        self.answer.set_running_or_notify_cancel()


class AnswerDesk:
    """Takes questions from several threads.

    Who asks first computes the answer, for all who ask the same meanwhile. Whoever hangs up, be it the one
    who computes: the work goes on for the others, and ends when nobody waits any more. An error comes to all
    who wait, and is not kept.

    Args:
        keep: how many answers are kept; those that were not asked for longest go.
        keep_bytes: how large the files that go along with them may be together.
    """

    def __init__(self, *, keep: int = _KEEP, keep_bytes: int = _KEEP_BYTES) -> None:
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._kept: OrderedDict[AnswerKey, Prediction] = OrderedDict()
        self._questions: dict[AnswerKey, Question] = {}
        self._lock = threading.Lock()

    def kept(self, key: AnswerKey) -> Prediction | None:
        """The answer that was kept, for who would only then read the study; None where there is none."""
        with self._lock:
            found = self._kept.get(key)
            return None if found is None else replace(found, kept=True)

    def ask(self, key: AnswerKey) -> tuple[Question, bool]:
        """Wait for an answer, together with all others who ask the same.

        Returns:
            The question, and whether the caller has to ``work`` on it. Whoever has not, and does not wait
            for the answer to its end, is to ``leave``.
        """
        with self._lock:
            if (answer := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return _answered(key, answer), False
            found = self._questions.get(key)
            question = self._questions.setdefault(key, found or Question(key))
            question.waiting += 1
            return question, found is None

    def leave(self, question: Question) -> bool:
        """Do not wait any longer; whether nobody waits now. The next who asks the same begins anew then."""
        with self._lock:
            question.waiting -= 1
            if question.waiting == 0:
                self._close(question)
            return question.waiting == 0

    def work(
        self, question: Question, compute: Callable[[Gone], Prediction], gone: Gone = lambda: False
    ) -> Prediction:
        """Compute the answer, for all who wait for it.

        Args:
            question: as ``ask`` gave it to who came first.
            compute: raises ``CancelledError`` when its argument, which is asked now and then, says that
                nobody waits any more.
            gone: tells whether the caller has hung up.

        Raises:
            BaseException: whatever ``compute`` raised; it was given to all who wait.
        """
        left = False

        def nobody_waits() -> bool:
            nonlocal left
            if not left and gone():
                left = True
                self.leave(question)
            return left and question.waiting == 0

        try:
            prediction = compute(nobody_waits)
        except BaseException as error:
            with self._lock:
                self._close(question)
            question.answer.set_exception(error)
            raise
        with self._lock:
            self._close(question)
            # Another version may have been published between the question and its turn.
            if question.key.asks(prediction.card):
                self._keep_answer(question.key, prediction)
        question.answer.set_result(prediction)
        return prediction

    def keep(self, key: AnswerKey, prediction: Prediction) -> None:
        """Keep an answer that was come by on the way to another one."""
        with self._lock:
            if key.asks(prediction.card):
                self._keep_answer(key, prediction)

    def _close(self, question: Question) -> None:
        """Let nobody come to it any more. Under the lock."""
        if self._questions.get(question.key) is question:
            del self._questions[question.key]

    def _keep_answer(self, key: AnswerKey, prediction: Prediction) -> None:
        """Keep it, and let go of those that it takes the place of. Under the lock."""
        if _files_bytes(prediction) > self._keep_bytes:
            return
        self._kept[key] = prediction
        self._kept.move_to_end(key)
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        # The one that was asked for longest ago is the first.
        sizes = {each: _files_bytes(kept) for each, kept in self._kept.items() if kept.files}
        for oldest in list(sizes):
            if sum(sizes.values()) <= self._keep_bytes:
                break
            del self._kept[oldest], sizes[oldest]


def _files_bytes(answer: Prediction) -> int:
    return sum(len(each.content) for each in answer.files)


def _answered(key: AnswerKey, answer: Prediction) -> Question:
    """A question whose answer was kept: nobody has to wait."""
    question = Question(key)
    question.answer.set_result(replace(answer, kept=True))
    return question

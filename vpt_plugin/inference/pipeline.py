"""answer_studies: over many studies, reading, the network and what the caller does with answers overlap.

While the network looks at one study, the next ones are read and reduced, and the caller writes the answer
before. Each of the three has a thread: one reads, one computes, and the caller's own takes the answers. It
pays where they wait for different things: a network on a GPU for what is read, reading for a disk or an
archive. Where all of them want the same cores it costs nothing.

``vpt classify-all`` has the same overlap from Ray, which hands studies to a worker one by one
(``vpt_plugin.bulk.worker``): there each study is a call of its own, so that one which ends the process is
known by its name. A stream of studies, as here, is not what such a worker gets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Event
from traceback import clear_frames
from typing import Generic, TypeVar

from vpt_plugin.errors import CancelledError, ConfigurationError

# Two wait while one is looked at: a study that takes long to read then rarely lets the network wait. A
# reduced study of 300 slices is 38 MiB.
READ_AHEAD = 2

Study = TypeVar("Study")
Content = TypeVar("Content")
Answer = TypeVar("Answer")
Stopped = Callable[[], bool]


@dataclass(frozen=True)
class Answered(Generic[Study, Answer]):
    """A study and its answer.

    Attributes:
        study: as the caller gave it.
        answer: what came of it.
    """

    study: Study
    answer: Answer


@dataclass(frozen=True)
class Failed(Generic[Study]):
    """A study that could not be read or answered.

    Attributes:
        study: as the caller gave it.
        error: why.
    """

    study: Study
    error: Exception


def answer_studies(
    studies: Iterable[Study],
    read: Callable[[Study, Stopped], Content],
    answer: Callable[[Content, Stopped], Answer],
    *,
    ahead: int = READ_AHEAD,
    cancelled: Stopped | None = None,
) -> Generator[Answered[Study, Answer] | Failed[Study], None, None]:
    """The outcome of every study, in their order, as each is there.

    At most ``ahead + 1`` studies are in memory, whatever there is to do and however slowly the outcomes are
    taken. When the iteration ends, for whatever reason (the last study, an error, Ctrl+C, ``close``), no
    thread is left: it waits for what is being read, and for the clips that the network has before it.

    Args:
        studies: what they are is up to ``read``: paths, ids, whatever opens one.
        read: gives a study's content, in a thread that only reads. It may ask its second argument whether
            it is still wanted.
        answer: makes the answer of a content, in a thread of its own, one study at a time. Its second
            argument is to be passed on as ``cancelled`` of ``Predictor.predict``.
        ahead: how many studies are read while the network looks at one.
        cancelled: asked before every study and by whoever asks the second arguments.

    Raises:
        CancelledError: ``cancelled`` said so, or ``read`` or ``answer`` raised it.
        ConfigurationError: ``ahead`` is below 1.
    """
    if ahead < 1:
        raise ConfigurationError(f"at least one study must be read ahead, not {ahead}.")
    stop = Event()

    def stopped() -> bool:
        return stop.is_set() or (cancelled is not None and cancelled())

    reader = ThreadPoolExecutor(1, "vptct-read")
    network = ThreadPoolExecutor(1, "vptct-network")

    def begin(study: Study) -> Future[Answered[Study, Answer] | Failed[Study]]:
        # A future keeps its result for as long as an error keeps the frames that knew the future.
        content: list[Content] = []
        reading = reader.submit(lambda: content.append(read(study, stopped)))
        return network.submit(_outcome, study, reading, content, answer, stopped)

    coming = iter(studies)
    try:
        in_hand = deque(map(begin, islice(coming, ahead + 1)))
        while in_hand:
            outcome = in_hand.popleft().result()
            if isinstance(outcome, Failed):
                # Else the error keeps what was read of the study.
                clear_frames(outcome.error.__traceback__)
            in_hand.extend(map(begin, islice(coming, 1)))
            yield outcome
    finally:
        stop.set()
        # First those that wait, so that neither thread takes up another study.
        reader.shutdown(wait=False, cancel_futures=True)
        network.shutdown(cancel_futures=True)
        reader.shutdown()


def _outcome(
    study: Study,
    reading: Future[None],
    content: list[Content],
    answer: Callable[[Content, Stopped], Answer],
    stopped: Stopped,
) -> Answered[Study, Answer] | Failed[Study]:
    """The outcome of a study whose content is there when ``reading`` is done; takes the content away."""
    try:
        reading.result()
        if stopped():
            raise CancelledError
        return Answered(study, answer(content.pop(), stopped))
    except CancelledError:
        raise
    # What is wrong with one study must not end the others; the caller knows which errors to pass on.
    except Exception as error:
        return Failed(study, error)

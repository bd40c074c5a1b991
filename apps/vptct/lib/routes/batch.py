"""Classifying many studies: their answers come as they are there, one JSON per line."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Annotated, Any, Literal

from anyio import CancelScope, CapacityLimiter, move_on_after, to_thread
from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from monailabel.interfaces.utils.app import app_instance
from starlette.types import Message, Send

from vpt_plugin.errors import CancelledError, VptError

from .. import limits
from ..answers.desk import Gone
from ..batch import Batch, Pulled, as_line
from ..device_queue import FairQueue
from ..errors import BadRequestError, NothingThereError
from ..infer_task import ClassifyTask
from ..params import HARMLESS, check_known, json_object
from .activelearning import BODY, body
from .infer import trained_task
from .who import Reviewer, User

_logger = logging.getLogger(__name__)
router = APIRouter(prefix="/batch", tags=["Infer"])
Images = Literal["all", "labeled", "unlabeled"]
_AS_LINES = "application/x-ndjson"
_LINES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JSON object per line.", "content": {_AS_LINES: {"schema": {"type": "string"}}}}
}
_MOST = "max_batch_size"


def trained(model: str, person: Reviewer) -> ClassifyTask:
    """A FastAPI dependency: the model that is asked, if it can answer.

    Raises:
        UnknownModelError, NotTrainedError.
    """
    return trained_task(model)


@router.post(
    "/infer/{model}",
    summary="Classify many studies",
    response_class=StreamingResponse,
    responses=_LINES,
    openapi_extra=BODY,
)
def infer_all(
    person: Reviewer,
    task: Annotated[ClassifyTask, Depends(trained)],
    sent: Annotated[bytes, Depends(body)],
    images: Images = "all",
) -> StreamingResponse:
    """``{"image": ID, "result": ...}`` or ``{"image": ID, "error": ...}`` per study, at last ``summary``.

    ``images`` takes all studies, or those with or without a label of this task; ``max_batch_size`` in the
    body only the first so many of them, by their ids. Whoever asks about a single study meanwhile waits for
    one study of the batch at the most. A client that hangs up, or takes no line for ten minutes, ends it.
    """
    most = _most(sent)
    app = app_instance()
    studies = sorted(_chosen(task, images))[: most or None]
    batch = Batch(task, app.datastore(), app.told, error_rate=app.served.evidence.error_rate)
    return LinesResponse(
        partial(_in_turn, task.workplace.batches, batch, studies), task.workplace.batch_threads
    )


# What MONAI Label's clients ask now and then: 404 tells them that nothing of the kind is running.
@router.get("/infer", summary="Is a batch running?")
def batches(person: User) -> dict[str, int]:
    """How many run and how many wait; 404 where none does."""
    queue = app_instance().workplace.batches
    if not queue.inside:
        raise NothingThereError("No batch inference is running on this server.")
    return {"running": queue.inside, "waiting": queue.waiting}


def _most(sent: bytes) -> int:
    """How many studies at the most; 0 for all."""
    values = json_object(sent, "the body")
    check_known(values, (_MOST, *HARMLESS), "the body")
    most = values.get(_MOST, 0)
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise BadRequestError(f"{_MOST} is no number of studies;", "give a whole number, 0 for all.")
    return most


def _chosen(task: ClassifyTask, images: Images) -> list[str]:
    """The ids of the studies; what is labelled goes by the findings of the task."""
    store = app_instance().datastore()
    findings = list(task.task.findings)
    if images == "labeled":
        return list(store.get_labeled_images(labels=findings))
    return list(store.get_unlabeled_images(labels=findings) if images == "unlabeled" else store.list_images())


def _in_turn(queue: FairQueue, batch: Batch, studies: list[str], ended: Gone) -> Generator[bytes, None, None]:
    """The lines of a batch when no other one runs; of an error that ends all of it, that.

    A server that is being stopped ends a batch: else it would wait for it.
    """
    app = app_instance()

    def ended_or_ending() -> bool:
        return ended() or app.ending.is_set()

    try:
        with queue.turn(ended_or_ending):
            yield from batch.lines(studies, ended_or_ending)
    except CancelledError:
        if ended():
            raise
        yield as_line({"error": app.told(CancelledError("the server is being stopped."), "a batch")})
    except VptError as error:
        yield as_line({"error": app.told(error, "a batch")})


class LinesResponse(StreamingResponse):
    """Lines that are made while a client takes them; one that takes none any more is left.

    Args:
        make: as of ``Pulled``.
        threads: in which they are made.
    """

    def __init__(
        self, make: Callable[[Gone], Generator[bytes, None, None]], threads: CapacityLimiter
    ) -> None:
        self._made = _lines(make, threads)
        super().__init__(self._made, media_type=_AS_LINES)

    async def stream_response(self, send: Send) -> None:
        """Send them; the server closes the connection where not all of them were taken."""

        async def in_time(message: Message) -> None:
            with move_on_after(limits.LINE_TAKEN_SECONDS) as time:
                await send(message)
            if time.cancelled_caught:
                raise _NotTakenError

        try:
            await super().stream_response(in_time)
        except _NotTakenError:
            _logger.warning(
                "a batch was ended: its client is connected, but took no line for %g s",
                limits.LINE_TAKEN_SECONDS,
            )
        finally:
            # While a line is on its way, nobody is in ``_lines``, and nobody would end what is behind it.
            with CancelScope(shield=True):
                await self._made.aclose()


class _NotTakenError(Exception):
    """A line was not taken in time."""


async def _lines(
    make: Callable[[Gone], Generator[bytes, None, None]], threads: CapacityLimiter
) -> AsyncGenerator[bytes, None]:
    """The lines, each made in a thread when the client has taken the one before."""
    pulled = Pulled(make)
    try:
        # Left at once when the client hangs up; what is being computed ends by itself then.
        pull = partial(to_thread.run_sync, pulled.next, abandon_on_cancel=True, limiter=threads)
        while (line := await pull()) is not None:
            yield line
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(pulled.end, limiter=threads)

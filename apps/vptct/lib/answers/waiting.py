"""Waiting for an answer without holding a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from vpt_plugin.errors import CancelledError
from vpt_plugin.inference import Prediction

from .desk import AnswerDesk, Question

_ASK_AGAIN_SECONDS = 0.5


async def answer_of(
    question: Question, desk: AnswerDesk, hung_up: Callable[[], Awaitable[bool]]
) -> Prediction:
    """The answer, when it is there.

    Args:
        question: of the desk; whoever waits for it here has asked it there.
        desk: is told who does not wait any longer.
        hung_up: whether the client has gone; asked twice a second.

    Raises:
        CancelledError: it has.
        Exception: what the one who computed it came upon.
    """
    if question.answer.done():
        return question.answer.result()
    coming = asyncio.wrap_future(question.answer)
    try:
        while not coming.done():
            await asyncio.wait({coming}, timeout=_ASK_AGAIN_SECONDS)
            if not coming.done() and await hung_up():
                raise CancelledError
        return coming.result()
    finally:
        # Whatever ends the waiting, such as the server's own end.
        if not coming.done():
            desk.leave(question)
            coming.cancel()

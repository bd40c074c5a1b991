"""Who asks, as the type of a route's ``person``, and whether they still wait for the answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

from anyio import from_thread
from fastapi import Depends, Request

from ..access.gate import require
from ..access.person import Person

User = Annotated[Person, Depends(require("user"))]
Annotator = Annotated[Person, Depends(require("annotator"))]
Reviewer = Annotated[Person, Depends(require("reviewer"))]
Admin = Annotated[Person, Depends(require("admin"))]


def hung_up(request: Request) -> Callable[[], bool]:
    """A FastAPI dependency: tells whether the client has gone; to be asked by the route's own thread."""
    return partial(from_thread.run, request.is_disconnected)


HungUp = Annotated[Callable[[], bool], Depends(hung_up)]

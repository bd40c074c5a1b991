"""Which study next: proposals, the worklist behind them, and what is known of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from monailabel.interfaces.utils.app import app_instance

from vpt_plugin.acquisition.strategies import MAX_PICKS
from vpt_plugin.active.worklist_table import ENCODING, worklist_table

from ..params import json_object
from ..plain import plain_json
from ..worklist.wishes import checked_count, reader_of
from .who import HungUp, Reviewer, User

router = APIRouter(prefix="/activelearning", tags=["ActiveLearning"])
BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}
_AS_CSV = "text/csv; charset=utf-8"
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {_AS_CSV: {"schema": {"type": "string"}}}}}
ClientId = Annotated[str, Query(max_length=1000)]


async def body(request: Request) -> bytes:
    """A FastAPI dependency: the request's body; how large it may be is said in ``install.py``."""
    return await request.body()


@router.get("/", summary="What is known of the worklists")
def state(person: User, client_id: ClientId = "") -> dict[str, Any]:
    """Of each task: studies by state, labels, scoring, how readers agree, whether a training is due.

    ``leases`` are one's own; a reviewer sees all of them.
    """
    app = app_instance()
    told = app.worklists.state(person, reader_of(person, client_id))
    return dict(plain_json(told, app.without_folders))


@router.post("/{strategy}", summary="The study to label next", openapi_extra=BODY)
def next_study(
    strategy: str, person: User, sent: Annotated[bytes, Depends(body)], gone: HungUp
) -> dict[str, Any]:
    """Its id and what is known of it, and under ``vptct`` why it was chosen; kept for who asked.

    Where nothing is left there is no ``id``, and ``studies`` is empty.

    Raises:
        NothingThereError: no such strategy.
        BadRequestError, UnknownTaskError, UnknownModelError, ConfigurationError: it asks for what cannot be.
        NotScoredError: the strategy needs scores, and there are none yet.
        LeaseError: this reader has too many studies already.
        BusyError: too many ask at the moment.
        WorklistAwayError: who has which study cannot be read or written.
        CancelledError: the client hung up; nothing is kept for it.
        ArchiveError: the archive was never reached, so no study is known.
    """
    wish = json_object(sent, "the body")
    reader = reader_of(person, wish.get("client_id"))
    return dict(app_instance().offer_next(strategy, wish, reader=reader, gone=gone))


@router.get("/{strategy}/worklist", summary="The order of the studies", responses=_CSV)
def ranking(
    strategy: str,
    person: User,
    task: str = "",
    model: str = "",
    finding: str = "",
    date_from: str = "",
    date_to: str = "",
    n: Annotated[int, Query(json_schema_extra={"minimum": 1, "maximum": MAX_PICKS})] = 100,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    client_id: ClientId = "",
) -> Response:
    """The studies that the strategy would propose, best first; kept for nobody.

    Raises: as ``next_study``, but for LeaseError.
    """
    reader = reader_of(person, client_id)
    wish = {"task": task, "model": model, "finding": finding, "date_from": date_from, "date_to": date_to}
    app = app_instance()
    offer = app.worklists.ranked(strategy, wish, n=checked_count(n, MAX_PICKS), reader=reader)
    if form == "json":
        return JSONResponse(plain_json(offer.to_json(), app.without_folders))
    headers = {"Content-Disposition": f'attachment; filename="worklist-{offer.wish.task}.csv"'}
    return Response(worklist_table(offer).encode(ENCODING), media_type=_AS_CSV, headers=headers)


@router.post("/scoring/{model}", summary="Score the studies again")
def score_again(model: str, person: Reviewer) -> dict[str, Any]:
    """Has what is served of this model look at every study that it has not scored yet, in the background.

    Also where a scoring was given up before.

    Raises:
        UnknownModelError: names those that are served.
    """
    return dict(app_instance().score_again(model, by=person.name))

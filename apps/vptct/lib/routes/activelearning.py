"""Which study next."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from monailabel.interfaces.utils.app import app_instance

from ..params import HARMLESS, check_known, json_object
from .who import User

router = APIRouter(prefix="/activelearning", tags=["ActiveLearning"])
_BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}


async def body(request: Request) -> bytes:
    """A FastAPI dependency: the request's body; how large it may be is said in ``install.py``."""
    return await request.body()


@router.post("/{strategy}", summary="The study to label next", openapi_extra=_BODY)
def next_study(strategy: str, person: User, sent: Annotated[bytes, Depends(body)]) -> dict[str, Any]:
    """Its id and what is known of it; an empty object where every study has a label.

    Raises:
        NothingThereError: no such strategy.
    """
    params = json_object(sent, "the body")
    check_known(params, HARMLESS, "the body")
    client = person.name or str(params.get("client_id", ""))[:100]
    return dict(app_instance().offer_next(strategy, client=client))

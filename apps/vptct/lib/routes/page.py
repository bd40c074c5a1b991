"""The page of the server: its routes, from nothing but this server.

FastAPI's own pages load programs from elsewhere, which would then do here whatever the reader may do, and are
blank where there is no internet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Route

PATHS = ("/", "/docs")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>VPTCT</title><style>
body {{ font-family: sans-serif; margin: 2em; }}
td, th {{ padding: 0.3em 1em 0.3em 0; text-align: left; vertical-align: top; }}
</style></head><body>
<h1>VPTCT: chest CT classification with video-pretrained 3D networks</h1>
<p>The routes of this server, and the role that each wants where there is a login. The fields of each are in
<a href="openapi.json">openapi.json</a>.</p>
<table><tr><th>method</th><th>path</th><th>role</th><th></th></tr>
{rows}
</table></body></html>
"""


def pages(routers: Iterable[APIRouter], prefix: str) -> list[Route]:
    """The routes of the page.

    Args:
        routers: whose routes it lists, but those that are not in the schema.
        prefix: what their paths begin with.
    """
    rows = [_row(prefix, route) for router in routers for route in router.routes]
    page = _PAGE.format(rows="\n".join(row for row in rows if row))

    async def answer(request: Request) -> HTMLResponse:
        return HTMLResponse(page, headers=_HEADERS)

    return [Route(path, answer, include_in_schema=False) for path in PATHS]


def _row(prefix: str, route: Any) -> str:
    if not (isinstance(route, APIRoute) and route.include_in_schema):
        return ""
    cells = (", ".join(sorted(route.methods)), prefix + route.path, _role(route), route.summary or "")
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _role(route: APIRoute) -> str:
    """What ``require`` asks for, or nothing where anybody may ask."""
    calls = (each.call for each in _all(route.dependant))
    return next((call.role for call in calls if hasattr(call, "role")), "")


def _all(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for each in dependant.dependencies:
        yield from _all(each)

"""The list of routes: all of them are ours, and every one says who may use it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from lib.routes.install import KEPT
from lib.routes.page import PATHS
from starlette.routing import BaseRoute

# A new route needs its row here. "" is for whoever is there: these lead to a login.
OFFERED = {
    ("GET", "/auth/"): "",
    ("POST", "/auth/token"): "",
    ("GET", "/auth/token/valid"): "logged in",
    ("GET", "/info/"): "user",
    ("GET", "/train/"): "user",
    ("POST", "/train/{model}"): "reviewer",
    ("DELETE", "/train/"): "reviewer",
    ("GET", "/train/{job}"): "user",
    ("DELETE", "/train/{job}"): "reviewer",
    ("GET", "/train/{job}/report"): "user",
    ("GET", "/versions/{model}"): "user",
    ("GET", "/versions/{model}/report"): "user",
    ("POST", "/versions/{model}/promote"): "reviewer",
    ("POST", "/versions/{model}/rollback"): "reviewer",
    ("POST", "/infer/{model}"): "user",
    ("POST", "/report/{model}"): "user",
    ("POST", "/batch/infer/{model}"): "reviewer",
    ("GET", "/batch/infer"): "user",
    ("PUT", "/session/"): "user",
    ("GET", "/session/{session_id}"): "user",
    ("DELETE", "/session/{session_id}"): "user",
    ("GET", "/datastore/"): "user",
    ("PUT", "/datastore/"): "annotator",
    ("HEAD", "/datastore/image"): "user",
    ("GET", "/datastore/image"): "user",
    ("GET", "/datastore/image/info"): "user",
    ("GET", "/datastore/series/{series_uid}"): "user",
    ("PUT", "/datastore/image/info"): "annotator",
    ("PUT", "/datastore/label"): "annotator",
    ("GET", "/datastore/label"): "user",
    ("GET", "/datastore/label/info"): "user",
    ("GET", "/datastore/label/history"): "user",
    ("GET", "/activelearning/"): "user",
    ("POST", "/activelearning/{strategy}"): "user",
    ("GET", "/activelearning/{strategy}/worklist"): "user",
    ("POST", "/activelearning/scoring/{model}"): "reviewer",
    ("PUT", "/activelearning/leases/{study}"): "user",
    ("DELETE", "/activelearning/leases/{study}"): "user",
    ("POST", "/activelearning/skips/{study}"): "annotator",
    ("DELETE", "/activelearning/skips/{study}"): "reviewer",
}
FOR_ADMINS = {("GET", "/logs/"): "admin", ("POST", "/reload"): "admin"}
SWITCHES = {"logs": "on", "reload": "on"}
# Beside them MONAI Label's routes that are refused, and what its clients ask now and then.
REFUSED = (
    "/infer/wsi/", "/infer/wsi_v2/", "/batch/", "/train/", "/model/", "/scoring/", "/proxy/", "/ohif/",
    "/datastore/", "/logs/", "/reload",
)  # fmt: skip


def flat(routes: Iterable[BaseRoute]) -> Iterator[Any]:
    """The routes, those of included routers among them."""
    for route in routes:
        # FastAPI keeps an included router whole since 0.119; before, it copied the routes.
        included = getattr(route, "original_router", None)
        yield from flat(included.routes) if included is not None else [route]


def role_of(route: Any) -> str:
    """What ``require`` asks for among the route's dependencies; "" where it is not among them."""
    calls = [dependency.call for dependency in every_dependency(route.dependant)]
    names = {getattr(call, "__qualname__", "") for call in calls}
    roles = {
        inspect.getclosurevars(call).nonlocals["role"]
        for call in calls
        if getattr(call, "__qualname__", "") == "require.<locals>.checked"
    }
    assert len(roles) <= 1, route.path
    return roles.pop() if roles else "logged in" if "logged_in" in names else ""


def every_dependency(dependant: Any) -> Iterator[Any]:
    for each in dependant.dependencies:
        yield each
        yield from every_dependency(each)


def roles(server: Any, *, listed: bool) -> dict[tuple[str, str], str]:
    return {
        (method, route.path): role_of(route)
        for route in flat(server.router.routes)
        if route.path not in (*KEPT, *PATHS) and route.include_in_schema == listed
        for method in route.methods
    }


def test_of_monai_labels_routes_only_its_pages_are_left(serve) -> None:
    routes = list(flat(serve(SWITCHES).server.router.routes))
    theirs = {route.path: route for route in routes if not route_module(route).startswith("lib.")}
    assert set(theirs) == set(KEPT)
    assert not [path for path, route in theirs.items() if "monailabel.endpoints" in route_module(route)]
    assert all(route.methods <= {"GET", "HEAD"} for route in theirs.values())


def route_module(route: Any) -> str:
    """The module of the function that answers; a refusal has its words bound to it."""
    return str(getattr(route.endpoint, "func", route.endpoint).__module__)


def test_every_route_wants_the_role_that_it_should(serve) -> None:
    assert roles(serve().server, listed=True) == OFFERED
    assert roles(serve(SWITCHES).server, listed=True) == {**OFFERED, **FOR_ADMINS}


def test_what_is_refused_wants_a_login_too(serve) -> None:
    refused = roles(serve().server, listed=False)
    assert set(refused.values()) == {"user"}
    assert [path for _, path in refused if not path.startswith(REFUSED)] == []
    assert ("GET", "/logs/{rest:path}") in refused
    assert ("POST", "/reload") in refused


def test_a_route_without_a_role_would_be_found(serve) -> None:
    server = serve().server

    @server.get("/open")
    def everybody() -> None: ...

    assert roles(server, listed=True)[("GET", "/open")] == ""


def test_the_schema_lists_these_routes_and_no_other(serve) -> None:
    paths = serve(SWITCHES).ask("GET", "/openapi.json").json()["paths"]
    listed = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert listed == {*OFFERED, *FOR_ADMINS}


@pytest.mark.parametrize(
    ("method", "path", "fields", "required"),
    [
        ("post", "/infer/{model}", {"params", "file"}, []),
        ("put", "/session/", {"files"}, ["files"]),
        ("put", "/datastore/label", {"label", "params"}, ["label"]),
        ("put", "/datastore/image/info", {"info"}, []),
    ],
)
def test_the_schema_tells_the_fields_of_every_form(
    serve, method: str, path: str, fields: set[str], required: list[str]
) -> None:
    operation = serve().ask("GET", "/openapi.json").json()["paths"][path][method]
    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert (set(schema["properties"]), schema["required"]) == (fields, required)


def test_the_schema_answers(serve) -> None:
    assert serve().ask("GET", "/openapi.json").status_code == 200


@pytest.mark.parametrize("route", ["/docs", "/"])
def test_the_pages_list_every_route_and_load_nothing_from_elsewhere(serve, route: str) -> None:
    site = serve(SWITCHES)
    answer = site.ask("GET", route)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<script|<link|//|src=|@import|url\(", answer.text)
    for method, path in FOR_ADMINS:
        assert f"<td>{method}</td><td>{path}</td>" in answer.text
    for path, operations in site.ask("GET", "/openapi.json").json()["paths"].items():
        for method in operations:
            assert f"<td>{method.upper()}</td><td>{path}</td>" in answer.text
    assert "<td>PUT</td><td>/datastore/label</td><td>annotator</td>" in answer.text
    assert "<td>POST</td><td>/reload</td><td>admin</td>" in answer.text

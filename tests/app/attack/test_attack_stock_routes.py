"""Every route that MONAI Label itself has, offered here or not: attacked as if it were its own server."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import warnings
from urllib.parse import quote

import monailabel.endpoints
import pytest
from attack_range import MULTIPART, Range, multipart
from fastapi.routing import APIRoute

FILL = (
    "..%2f..%2foutside%2fct.nii.gz",
    "%2e%2e",
    "..",
    "%2fetc%2fpasswd",
    "%00",
    "x" * 5000,
    "nodule_tiny",
    "a%0d%0ab",
)
JSON = ("Content-Type", "application/json")
BODIES = (
    ((), b""),
    ((JSON,), json.dumps({"image": "../outside/ct.nii.gz", "model": "x"}).encode()),
    ((MULTIPART,), multipart(("file", "../../x.nii", b"x"), ("params", None, b'{"path": "/etc"}'))),
)  # fmt: skip


def stock_routes() -> dict[tuple[str, str], tuple[str, ...]]:
    """MONAI Label's methods and paths, with the names of their query parameters."""
    found: dict[tuple[str, str], tuple[str, ...]] = dict.fromkeys(
        (("POST", "/reload"), ("GET", "/static/{path}"), ("GET", "/ohif/{path}")), ()
    )
    for module in pkgutil.iter_modules(monailabel.endpoints.__path__):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries below MONAI Label
            endpoints = importlib.import_module(f"monailabel.endpoints.{module.name}")
        for route in getattr(getattr(endpoints, "router", None), "routes", ()):
            if isinstance(route, APIRoute):
                names = tuple(parameter.name for parameter in route.dependant.query_params)
                found |= {(method, route.path): names for method in route.methods}
    return found


ROUTES = stock_routes()


def test_the_list_is_that_of_a_whole_monai_label() -> None:
    assert {("PUT", "/model/{model}"), ("POST", "/train/"), ("GET", "/logs/"), ("PUT", "/session/")} <= set(
        ROUTES
    )
    assert len(ROUTES) > 40


@pytest.mark.parametrize(("method", "route"), sorted(ROUTES), ids=lambda text: text)
def test_a_route_of_monai_label_does_no_harm(attacked: Range, method: str, route: str) -> None:
    found = []
    for value in (*FILL, quote(str(attacked.outside / "canary.txt"), safe="")):
        target = re.sub(r"\{[^}]*\}", lambda _, value=value: value, route)
        target += "?" + "&".join(f"{name}={value}" for name in ROUTES[method, route])
        for headers, body in BODIES:
            answer = attacked.send(method, target, body, headers)
            found.append(attacked.problem(answer, f"{method} {target} {headers} {body[:60]!r}"))
    assert [problem for problem in found if problem] == []

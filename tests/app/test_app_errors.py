"""Every error has its status, and tells a client nothing about the server's folders."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from lib.errors import STATUS, BadRequestError, BusyError, NotOfferedError, body_of, install, status_of
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from starlette.exceptions import HTTPException

import vpt_plugin.errors
from vpt_plugin.errors import (
    CancelledError,
    GeometryError,
    StudyNotFoundError,
    UnknownModelError,
    UnknownTaskError,
    UnreadableStudyError,
    VptError,
)


def all_errors(kind: type[VptError]) -> list[type[VptError]]:
    return [kind] + [each for child in kind.__subclasses__() for each in all_errors(child)]


EXPECTED = {
    "StudyError": 422, "StudyNotFoundError": 404, "UnreadableStudyError": 422, "NotCTError": 422,
    "NotHounsfieldError": 422, "GeometryError": 422, "TooFewSlicesError": 422,
    "ConfigurationError": 400, "UnknownTaskError": 404, "UnknownModelError": 404, "TaskFileError": 400,
    "ClipShapeError": 400, "WeightsError": 503, "WeightsNotFoundError": 503, "WeightsLayoutError": 503,
    "ChecksumError": 503, "NotTrainedError": 409, "LabelError": 422, "ManifestError": 422,
    "TrainingError": 409, "CancelledError": 499, "BadRequestError": 400, "NotOfferedError": 405,
    "BusyError": 503, "VptError": 500,
}  # fmt: skip


def make(kind: type[VptError]) -> VptError:
    if kind in (UnknownTaskError, UnknownModelError):
        return kind("x", ["a"])  # type: ignore[arg-type]
    if kind is CancelledError:
        return kind()  # type: ignore[call-arg]
    return kind("study", "cause") if "study" in kind.__init__.__code__.co_varnames else kind("message")


@pytest.mark.parametrize("kind", all_errors(VptError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_library_and_the_app_has_the_status_it_is_documented_with(
    kind: type[VptError],
) -> None:
    assert status_of(make(kind)) == EXPECTED[kind.__name__]


def test_no_class_of_the_library_is_left_to_the_500_of_the_base_class() -> None:
    for kind in all_errors(VptError)[1:]:
        assert any(base in STATUS for base in kind.__mro__[: kind.__mro__.index(VptError)]), kind


def test_what_nobody_expected_is_a_500() -> None:
    assert status_of(ZeroDivisionError()) == 500


def test_the_body_has_the_message_and_the_way_out() -> None:
    error = GeometryError("p01--ct", "2 slices are missing.", "Export it again.")
    assert body_of(error, []) == {"detail": "p01--ct: 2 slices are missing.", "hint": "Export it again."}


def test_paths_of_the_server_do_not_reach_the_client() -> None:
    error = UnreadableStudyError(
        "p01", "cannot be read: '/srv/studies/p01/1.dcm', in /srv/studies.", "Look into /srv/models/x."
    )
    assert body_of(error, [Path("/srv"), Path("/srv/studies"), Path("/srv/models")]) == {
        "detail": "p01: cannot be read: 'p01/1.dcm', in studies.",
        "hint": "Look into x.",
    }


def test_the_apps_own_errors_are_of_the_librarys_tree() -> None:
    assert all(issubclass(kind, VptError) for kind in (BadRequestError, BusyError, NotOfferedError))
    assert issubclass(StudyNotFoundError, vpt_plugin.errors.StudyError)


def answer_of_a_server_that_raises(error: Exception) -> httpx.Response:
    server = FastAPI()
    server.middleware_stack = server.build_middleware_stack()

    @server.get("/")
    def fail() -> None:
        raise error

    install(server, [Path("/srv/studies")])

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(server, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.get("/")

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            UnreadableStudyError("p1", "no CT in /srv/studies/p1.", "Look."),
            422,
            {"detail": "p1: no CT in p1.", "hint": "Look."},
        ),
        (UnknownTaskError("x", ["a", "b"]), 404, {"detail": "unknown task 'x'", "hint": "choose from a, b."}),
        (HTTPException(418, "no coffee"), 418, {"detail": "no coffee", "hint": ""}),
        (
            MONAILabelException(MONAILabelError.INVALID_INPUT, "no such strategy"),
            400,
            {"detail": "no such strategy", "hint": "GET /info/ lists what there is."},
        ),
    ],
)
def test_a_server_answers_with_the_table_in_all_of_its_routes(
    error: Exception, status: int, body: dict[str, str]
) -> None:
    response = answer_of_a_server_that_raises(error)
    assert (response.status_code, response.json()) == (status, body)


def test_an_unexpected_error_tells_the_client_a_number_and_the_log_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = answer_of_a_server_that_raises(ZeroDivisionError("in /srv/secret.py"))
    assert response.status_code == 500
    assert response.json()["detail"] == "the server came upon an unexpected error."
    number = response.json()["hint"].rpartition(" ")[2].rstrip(".")
    assert "secret" not in response.text
    assert number in caplog.text
    assert "ZeroDivisionError('in /srv/secret.py')" in caplog.text

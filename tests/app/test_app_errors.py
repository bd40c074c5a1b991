"""Every error has its status, and tells a client nothing about the server's folders."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from lib.errors import (
    STATUS,
    BadRequestError,
    BusyError,
    NotOfferedError,
    body_of,
    install,
    name_of,
    status_of,
)
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from starlette.exceptions import HTTPException

import vpt_plugin.errors
from vpt_plugin.errors import (
    CancelledError,
    LabelConflictError,
    StudyNotFoundError,
    UnknownModelError,
    UnknownTaskError,
    UnreadableStudyError,
    VptError,
)
from vpt_plugin.store.adding import PatientInHeaderError  # of the tree, as the next
from vpt_plugin.store.archive.failures import RefusedRequestError


def all_errors(kind: type[VptError]) -> list[type[VptError]]:
    return [kind] + [each for child in kind.__subclasses__() for each in all_errors(child)]


EXPECTED = {
    "StudyError": 422, "StudyNotFoundError": 404, "UnreadableStudyError": 422, "NotCTError": 422,
    "NotHounsfieldError": 422, "GeometryError": 422, "TooFewSlicesError": 422, "UnsuitableStudyError": 422,
    "NotReportableError": 422, "NotExplainableError": 400,
    "ConfigurationError": 400, "UnknownTaskError": 404, "UnknownModelError": 404, "TaskFileError": 400,
    "ClipShapeError": 400, "BackendDisagreesError": 400,
    "WeightsError": 503, "WeightsNotFoundError": 503, "WeightsLayoutError": 503,
    "ChecksumError": 503, "ModelCardError": 503, "DeviceMemoryError": 503,
    "NotTrainedError": 409, "LabelError": 422, "ManifestError": 422,
    "TrainingError": 409, "DivergedError": 409, "CheckpointError": 409, "AnotherProcessFailedError": 409,
    "FolderTakenError": 409, "PatientInHeaderError": 400,
    "CancelledError": 499, "BadRequestError": 400, "NotOfferedError": 405,
    "BusyError": 503,
    "WorklistAwayError": 503, "VptError": 500,
    "AccessError": 403, "RoleMissingError": 403, "ForeignComputerError": 403,
    "ForeignOriginError": 403, "NotLoggedInError": 401,
    "StudyTooLargeError": 413, "ArchiveError": 503, "ArchiveUnreachableError": 503,
    "IncompleteSeriesError": 503, "LoginRefusedError": 503, "NoDicomwebError": 503,
    "RefusedRequestError": 503, "TokenFileError": 400, "LabelConflictError": 409, "LeaseError": 409,
    "NotScoredError": 409,
    "WrongFormError": 422, "NothingThereError": 404, "TooLargeError": 413, "SessionsFullError": 413,
    "ForeignHostError": 400, "TooManyLoginsError": 429, "LoginServiceError": 503,
}  # fmt: skip


CONFLICT = LabelConflictError(
    "p01: version 2 of pe was saved in the meantime.",
    "Look at both.",
    expected_version=1,
    newest_version=2,
    newest={"annotator": "bert"},
    yours={"annotator": "anna"},
)


def make(kind: type[VptError]) -> VptError:
    if kind in (UnknownTaskError, UnknownModelError):
        return kind("x", ["a"])  # type: ignore[arg-type]
    if kind is CancelledError:
        return kind()  # type: ignore[call-arg]
    if kind is LabelConflictError:
        return CONFLICT
    if kind is RefusedRequestError:
        return RefusedRequestError("message", status=418)
    return kind("study", "cause") if "study" in kind.__init__.__code__.co_varnames else kind("message")


@pytest.mark.parametrize("kind", all_errors(VptError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_library_and_the_app_has_the_status_it_is_documented_with(
    kind: type[VptError],
) -> None:
    assert status_of(make(kind)) == EXPECTED[kind.__name__]


def test_no_class_of_the_library_is_left_to_the_500_of_the_base_class() -> None:
    for kind in all_errors(VptError)[1:]:
        assert any(base in STATUS for base in kind.__mro__[: kind.__mro__.index(VptError)]), kind


@pytest.mark.parametrize("kind", all_errors(VptError), ids=lambda kind: kind.__name__)
def test_every_error_tells_its_name_and_one_of_a_module_alone_that_of_its_kind(kind: type[VptError]) -> None:
    # Not in docs/server.md: a client need not know them.
    kept = {
        "RefusedRequestError": "ArchiveError", "LoginRefusedError": "ArchiveUnreachableError",
        "NoDicomwebError": "ArchiveUnreachableError", "FolderTakenError": "TrainingError",
        PatientInHeaderError.__name__: "ConfigurationError",
    }  # fmt: skip
    assert name_of(make(kind)) == kept.get(kind.__name__, kind.__name__)


def test_what_nobody_expected_tells_no_class() -> None:
    assert name_of(ZeroDivisionError()) == "UnexpectedError"


def test_what_nobody_expected_is_a_500() -> None:
    assert status_of(ZeroDivisionError()) == 500


def test_paths_of_the_server_do_not_reach_the_client() -> None:
    detail = "p01: cannot be read: '/srv/studies/p01/1.dcm', in /srv/studies."
    folders = [Path("/srv"), Path("/srv/studies"), Path("/srv/models")]
    assert body_of("StudyError", detail, "Look into /srv/models/x.", folders) == {
        "error": "StudyError",
        "detail": "p01: cannot be read: 'p01/1.dcm', in studies.",
        "hint": "Look into x.",
    }


def test_a_home_that_is_the_root_takes_no_slash_away() -> None:
    body = body_of("VptError", "1/2 of /srv/a/b", "GET /info/", [Path("/"), Path("/srv/a")])
    assert body == {"error": "VptError", "detail": "1/2 of b", "hint": "GET /info/"}


def test_a_folder_that_only_begins_like_something_else_takes_nothing_away() -> None:
    told = "GET /datastore/ of /data/p1, /data/, /data.", "/datastore/?output=all"
    body = body_of("VptError", *told, [Path("/data")])
    assert (body["detail"], body["hint"]) == ("GET /datastore/ of p1, , data.", "/datastore/?output=all")


def test_half_a_character_is_written_out() -> None:
    assert body_of("VptError", "finding \ud800", "", [])["detail"] == "finding \\ud800"


def test_the_apps_own_errors_are_of_the_librarys_tree() -> None:
    assert all(issubclass(kind, VptError) for kind in (BadRequestError, BusyError, NotOfferedError))
    assert issubclass(StudyNotFoundError, vpt_plugin.errors.StudyError)


def answer_of_a_server_that_raises(error: Exception) -> httpx.Response:
    server = FastAPI()
    server.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
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
            {"error": "UnreadableStudyError", "detail": "p1: no CT in p1.", "hint": "Look."},
        ),
        (
            UnknownTaskError("x", ["a", "b"]),
            404,
            {"error": "UnknownTaskError", "detail": "unknown task 'x'", "hint": "choose from a, b."},
        ),
        (
            HTTPException(418, "no /srv/studies/a"),
            418,
            {"error": "HTTPException", "detail": "no a", "hint": ""},
        ),
        (
            json.JSONDecodeError("in /srv/studies/a", "", 0),
            400,
            {
                "error": "BadRequestError",
                "detail": "a field of the request is not JSON: in a: line 1 column 1 (char 0).",
                "hint": "",
            },
        ),
        (
            MONAILabelException(MONAILabelError.INVALID_INPUT, "no /srv/studies/x"),
            400,
            {"error": "BadRequestError", "detail": "no x", "hint": "GET /info/ lists what there is."},
        ),
    ],
)
def test_a_server_answers_with_the_table_in_all_of_its_routes(
    error: Exception, status: int, body: dict[str, str]
) -> None:
    response = answer_of_a_server_that_raises(error)
    assert (response.status_code, response.json()) == (status, body)


def test_a_conflict_brings_both_labels() -> None:
    response = answer_of_a_server_that_raises(CONFLICT)
    assert response.status_code == 409
    assert response.json() == {
        "error": "LabelConflictError",
        "detail": "p01: version 2 of pe was saved in the meantime.",
        "hint": "Look at both.",
        "conflict": {
            "expected_version": 1,
            "newest_version": 2,
            "newest": {"annotator": "bert"},
            "yours": {"annotator": "anna"},
        },
    }


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EIO, 500)])
def test_a_full_disk_is_told_and_another_failure_of_the_disk_gets_a_number(number: int, status: int) -> None:
    response = answer_of_a_server_that_raises(OSError(number, "no room", "/srv/studies/labels/x"))
    assert response.status_code == status
    assert ("disk is full" in response.json()["detail"]) == (status == 507)
    assert response.json()["error"] == ("FullDiskError" if status == 507 else "UnexpectedError")
    assert "/srv" not in response.text


def test_what_a_client_sent_comes_back_only_so_far() -> None:
    response = answer_of_a_server_that_raises(BadRequestError("x" * 100_000))
    assert len(response.json()["detail"]) == 1000


def test_headers_of_an_error_reach_the_client() -> None:
    response = answer_of_a_server_that_raises(HTTPException(401, "who?", {"WWW-Authenticate": "Bearer"}))
    assert response.headers["www-authenticate"] == "Bearer"


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

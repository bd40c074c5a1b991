"""The server says by name what is wrong; the status decides only where the name is not known."""

from __future__ import annotations

import json
import re

import pytest
from docs_page import read_page, table_rows
from VPTCTLib import errors
from VPTCTLib.errors import (
    LabelConflictError,
    LeaseError,
    NoOfferError,
    NotAllowedError,
    NotNowError,
    NotThereError,
    NotTrainedError,
    RefusedError,
    ServerFailedError,
    TooLargeError,
    TrainingRefusedError,
)
from VPTCTLib.transport.answers import refused
from VPTCTLib.transport.error_names import BY_STATUS, KINDS


def told(status: int, error: str, conflict: type[RefusedError] = RefusedError) -> RefusedError:
    """What is raised for an answer of the server."""
    body = json.dumps({"error": error, "detail": "it is wrong.", "hint": "Do it."}).encode()
    return refused(status, "Words", {}, body, conflict)


def test_every_error_that_the_server_knows_is_known_here_and_no_other() -> None:
    page = read_page("server.md")
    (beside,) = re.findall(r"\nBeside these: (.*?)\n\n|\nBeside these: (.*)\Z", page, re.DOTALL)
    listed = {row[0].strip("`") for row in table_rows(page, "error")}
    listed |= set(re.findall(r"`(\w+(?:Error|Exception))`", "".join(beside)))
    assert len(listed) > 50
    assert listed == set(KINDS) | BY_STATUS


def test_every_kind_is_one_that_the_module_shows() -> None:
    assert {kind for kind in KINDS.values() if getattr(errors, kind.__name__) is not kind} == set()


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (503, "ChecksumError", ServerFailedError), (503, "BusyError", NotNowError),
        (503, "WeightsNotFoundError", ServerFailedError), (409, "TrainingError", TrainingRefusedError),
        (409, "NotTrainedError", NotTrainedError), (413, "StudyTooLargeError", TooLargeError),
        (400, "ForeignHostError", RefusedError), (404, "UnknownModelError", NotThereError),
        (422, "NotCTError", RefusedError), (403, "RoleMissingError", NotAllowedError),
    ],
)  # fmt: skip
def test_the_name_decides(status: int, name: str, kind: type[RefusedError]) -> None:
    error = told(status, name, LabelConflictError)
    assert (type(error), error.error, error.status) == (kind, name, status)
    assert (error.message, error.hint) == ("it is wrong.", "Do it.")


def test_what_a_lease_error_is_depends_on_what_was_asked() -> None:
    assert type(told(409, "LeaseError", NoOfferError)) is NoOfferError
    assert type(told(409, "NotScoredError", NoOfferError)) is NoOfferError
    assert type(told(409, "LeaseError", LeaseError)) is LeaseError
    assert type(told(409, "LeaseError", LabelConflictError)) is LeaseError


@pytest.mark.parametrize("name", ["", "HTTPException", "NewerError", "notcterror"])
def test_a_name_that_says_nothing_leaves_it_to_the_status(name: str) -> None:
    kinds = {status: type(told(status, name, LeaseError)) for status in (404, 409, 413, 418, 500, 503)}
    assert kinds == {
        404: NotThereError, 409: LeaseError, 413: TooLargeError, 418: RefusedError, 500: ServerFailedError,
        503: NotNowError,
    }  # fmt: skip


def test_a_page_of_a_proxy_is_believed_by_its_status_alone() -> None:
    for body in (
        b'{"error": "NotTrainedError"}',
        b"<html>NotTrainedError",
        b'{"error": 5, "detail": 5, "hint": ""}',
    ):
        error = refused(503, "Busy", {}, body, LeaseError)
        assert (type(error), error.own_words, error.error) == (NotNowError, False, "")

"""Which study is on screen: what is asked of the server, and what is never guessed."""

from __future__ import annotations

import pytest
from scripted_server import Play, ScriptedServer, answer, drop
from VPTCTLib.client import Client
from VPTCTLib.contract.info import StudiesState
from VPTCTLib.errors import NotThereError, UnreachableError, VptctError
from VPTCTLib.transport.connection import Connection
from VPTCTLib.transport.retry import RetryRule
from VPTCTLib.which_study import OnServer, Origin, ToUpload, is_uid, which_study

ARCHIVE = StudiesState("archive", True, "")
FOLDER = StudiesState("folder", True, "")
UID = "1.2.826.0.1.3680043.8.498.1"
THERE = answer(200, {"id": UID})
NOT_THERE = answer(404, {"detail": "there is no such study.", "hint": ""})


def decided(play: Play, studies: StudiesState, **origin: str) -> tuple[OnServer | ToUpload, list[str]]:
    """What is decided, and what the server was asked."""
    with ScriptedServer([play]) as server:
        client = Client(Connection(server.url, retry=RetryRule(first_wait_seconds=0.01)))
        return which_study(Origin(**origin), client, studies), [asked.path for asked in server.asked]


def test_a_series_that_the_archive_has_is_named_by_its_uid() -> None:
    assert decided(THERE, ARCHIVE, series_uid=UID) == (OnServer(UID), [f"/datastore/image/info?image={UID}"])
    study, _ = decided(NOT_THERE, ARCHIVE, series_uid=UID)
    assert study == ToUpload("The server's archive does not have this series.")


@pytest.mark.parametrize("origin", [{}, {"series_uid": "p01--ct"}, {"server": "http://other", "study": "p1"}])
def test_of_what_is_no_series_and_not_from_here_the_server_is_not_asked(
    origin: dict[str, str],
) -> None:
    study, asked = decided(THERE, ARCHIVE, **origin)
    assert isinstance(study, ToUpload)
    assert asked == []


def test_a_folders_studies_are_not_found_by_their_series() -> None:
    study, asked = decided(THERE, FOLDER, series_uid=UID)
    assert (type(study), asked) == (ToUpload, [])


@pytest.mark.parametrize(
    ("play", "error"),
    [(drop, UnreachableError), (answer(404, b"<html>"), NotThereError), (answer(500, {}), VptctError)],
)
def test_where_the_server_cannot_say_nothing_is_guessed(play: Play, error: type[Exception]) -> None:
    with pytest.raises(error):
        decided(play, ARCHIVE, series_uid=UID)


def test_a_uid_is_told_from_other_texts() -> None:
    assert is_uid(UID)
    for text in ("", "1", "1.", "1.2.a", "p01--ct", "1." + "2" * 70):
        assert not is_uid(text)

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
THERE = answer(200, {"image": "p01--ct"})
NOT_THERE = answer(404, {"error": "StudyNotFoundError", "detail": "there is no such study.", "hint": ""})
NO_ROUTE = answer(404, {"error": "HTTPException", "detail": "Not Found", "hint": ""})
NO_METHOD = answer(405, {"error": "NotOfferedError", "detail": "not here.", "hint": ""})
ASKED = f"/datastore/series/{UID}"


def decided(*plays: Play, studies: StudiesState, **origin: str) -> tuple[OnServer | ToUpload, list[str]]:
    """What is decided, and what the server was asked."""
    with ScriptedServer(list(plays)) as server:
        client = Client(Connection(server.url, retry=RetryRule(first_wait_seconds=0.01)))
        return which_study(Origin(**origin), client, studies), [asked.path for asked in server.asked]


@pytest.mark.parametrize("studies", [ARCHIVE, FOLDER])
def test_a_series_that_the_server_has_is_named_by_the_id_of_its_study(studies: StudiesState) -> None:
    assert decided(THERE, studies=studies, series_uid=UID) == (OnServer("p01--ct"), [ASKED])
    with_examination = decided(THERE, studies=studies, series_uid=UID, examination="1.2.3")
    assert with_examination == (OnServer("p01--ct"), [f"{ASKED}?examination=1.2.3"])
    missing = decided(NOT_THERE, studies=studies, series_uid=UID)
    assert missing == (ToUpload("The server has no study that is this series."), [ASKED])


@pytest.mark.parametrize("lacking", [NO_ROUTE, NO_METHOD])
def test_an_older_server_is_asked_for_the_series_as_an_id_where_it_has_an_archive(lacking: Play) -> None:
    old = f"/datastore/image/info?image={UID}"
    there = answer(200, {"id": UID})
    assert decided(lacking, there, studies=ARCHIVE, series_uid=UID) == (OnServer(UID), [ASKED, old])
    assert isinstance(decided(lacking, NOT_THERE, studies=ARCHIVE, series_uid=UID)[0], ToUpload)
    study, asked = decided(lacking, studies=FOLDER, series_uid=UID)
    assert (type(study), asked) == (ToUpload, [ASKED])


@pytest.mark.parametrize("origin", [{}, {"series_uid": "p01--ct"}, {"server": "http://other", "study": "p1"}])
def test_of_what_is_no_series_and_not_from_here_the_server_is_not_asked(
    origin: dict[str, str],
) -> None:
    study, asked = decided(THERE, studies=ARCHIVE, **origin)
    assert isinstance(study, ToUpload)
    assert asked == []


def test_a_server_is_known_by_its_id_under_another_address_and_its_address_under_another_server() -> None:
    here, there = "a" * 32, "b" * 32
    origin = Origin("http://other", "p1", server_id=here)
    assert origin.is_from("http://this", here)
    assert not origin.is_from("http://other", there)
    # An older server tells no id; then it is the address that counts.
    assert origin.is_from("http://other", "")
    assert not origin.is_from("http://this", "")
    with ScriptedServer([answer(200, {})]) as server:
        client = Client(Connection(server.url))
        assert which_study(origin, client, FOLDER, server_id=here) == OnServer("p1")
        assert isinstance(which_study(origin, client, FOLDER, server_id=there), ToUpload)


@pytest.mark.parametrize(
    ("play", "error"),
    [(drop, UnreachableError), (answer(404, b"<html>"), NotThereError), (answer(500, {}), VptctError)],
)
def test_where_the_server_cannot_say_nothing_is_guessed(play: Play, error: type[Exception]) -> None:
    with pytest.raises(error):
        decided(play, studies=ARCHIVE, series_uid=UID)


def test_a_uid_is_told_from_other_texts() -> None:
    assert is_uid(UID)
    for text in ("", "1", "1.", "1.2.a", "p01--ct", "1." + "2" * 70):
        assert not is_uid(text)

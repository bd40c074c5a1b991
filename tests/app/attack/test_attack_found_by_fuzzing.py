"""What fuzzing (``benchmarks/fuzz.py``) and the first runs of these attacks found, each kept as a test."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from attack_range import MULTIPART, Range, multipart

JSON = (("Content-Type", "application/json"),)


def note(attacked: Range, text: str) -> int:
    """Note something about the study; the status of the answer."""
    body = multipart(("info", None, text.encode()))
    return attacked.send("PUT", "/datastore/image/info?image=ct.nii.gz", body, (MULTIPART,)).status


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\ud800"}',
        '{"\\udfff": 1}',
        '{"a": NaN}',
        '{"a": [Infinity]}',
        '{"a": 1e999}',
        '{"a": -1e999}',
    ],
)
def test_a_note_that_no_answer_could_show_is_refused_and_spoils_no_later_answer(
    attacked: Range, text: str
) -> None:
    """It was kept, and from then on every answer with it in it was a 500."""
    assert note(attacked, text) == 400
    assert attacked.send("GET", "/datastore/image/info?image=ct.nii.gz").status == 200
    assert attacked.send("POST", "/activelearning/random", b"{}", JSON).status == 200


@pytest.mark.parametrize("text", ['{"strategy": 5}', '{"strategy": {"random": {"ts": "soon"}}}'])
def test_what_a_client_notes_is_nothing_that_the_server_reads(attacked: Range, text: str) -> None:
    """Who was offered a study was noted there; a number in its place made every next offer a 500."""
    assert note(attacked, text) == 200
    assert attacked.send("POST", "/activelearning/random", b"{}", JSON).status == 200


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"client_id": "\\ud800"}', b'{"client_id": NaN}'])
def test_the_body_of_a_request_for_the_next_study_may_be_anything(attacked: Range, body: bytes) -> None:
    assert attacked.send("POST", "/activelearning/random", body, JSON).status in (200, 400)


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("DELETE", "/datastore/label", "GET, PUT"),
        ("PUT", "/datastore/image", "GET, HEAD"),
        ("DELETE", "/datastore/image", "GET, HEAD"),
        ("DELETE", "/datastore/", "GET, PUT"),
        ("PUT", "/datastore/label/info", "GET"),
        ("PUT", "/model/x", ""),
    ],
)
def test_a_405_names_the_methods_that_the_path_takes(
    attacked: Range, method: str, target: str, allowed: str
) -> None:
    """RFC 9110, 15.5.6."""
    answer = attacked.send(method, target)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


def test_the_description_of_the_api_promises_the_errors_that_there_are(attacked: Range) -> None:
    """It promised FastAPI's own form of a 422, which no answer has."""
    text = attacked.send("GET", "/openapi.json").text
    assert "HTTPValidationError" not in text
    for path, operations in json.loads(text)["paths"].items():
        for method, operation in operations.items():
            content = operation["responses"]["4XX"]["content"]
            assert content["application/json"]["schema"]["required"] == ["error", "detail", "hint"], (
                method,
                path,
            )


def test_a_path_with_a_line_break_finds_no_route_of_monai_label(attacked: Range) -> None:
    """``/model/{rest:path}`` does not match a line break, so what stood behind it was reached: PUT /model."""
    body = multipart(("file", "x.pt", b"x"))
    for target in ("/model/a%0ab", "/model/a%0d%0ab", "/train/a%0ab", "/logs/a%0ab", "/proxy/dicom/a%0ab"):
        answer = attacked.send("PUT", target, body, (MULTIPART,))
        assert answer.status in (404, 405), (target, answer)


@pytest.mark.parametrize("name", ["n" * 60_000 + ".dcm", "a/" * 3000 + "x.dcm"], ids=["long", "deep"])
def test_a_name_that_no_disk_takes_is_told_without_the_servers_path(attacked: Range, name: str) -> None:
    """The system's own message has the whole path in it, that of the folder of sessions."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, b"x")
    body = multipart(("files", "x.zip", packed.getvalue()))
    answer = attacked.send("PUT", "/session/?uncompress=true", body, (MULTIPART,))
    assert answer.status == 422
    assert not attacked.problem(answer, "a name that no disk takes")

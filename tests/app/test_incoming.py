"""Uploads that are still coming are bounded together; what is no form is refused, not passed over."""

from __future__ import annotations

import socket
import time

import pytest
from lib.errors import SessionsFullError
from lib.incoming import Incoming, Spool

MB = 1_000_000


def test_what_lies_on_the_disk_counts_until_it_is_closed() -> None:
    incoming = Incoming(5 * MB)
    first, second = Spool(incoming), Spool(incoming)
    first.write(b"x" * 3 * MB)
    with pytest.raises(SessionsFullError, match=r"more than 0\.005 GB together"):
        second.write(b"x" * 3 * MB)
    first.close()
    second.write(b"x" * 3 * MB)
    second.close()
    second.close()
    with pytest.raises(SessionsFullError):
        incoming.take(5 * MB + 1)
    incoming.take(5 * MB)


def test_a_form_as_small_as_a_label_is_taken_however_full_the_disk_is() -> None:
    incoming = Incoming(0)
    with Spool(incoming) as label:
        label.write(b"x" * (1 << 20))
        with pytest.raises(SessionsFullError):
            label.write(b"x")


def stalled(port: int, size: int) -> socket.socket:
    """A client that sends so much of an upload and then nothing."""
    client = socket.create_connection(("127.0.0.1", port))
    start = b'--x\r\nContent-Disposition: form-data; name="files"; filename="ct.nii"\r\n\r\n'
    client.sendall(
        b"PUT /session/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: %d\r\n\r\n" % (40 * MB) + start + b"x" * size
    )
    return client


def test_uploads_that_stall_leave_room_for_no_more_than_the_limit_and_give_it_back(serve) -> None:
    site = serve({"max_sessions_gb": "0.005"})
    with site.listening() as port:
        clients = [stalled(port, 4 * MB)]
        time.sleep(0.5)
        files = {"files": ("ct.nii", b"x" * 3 * MB)}
        refused = site.ask("PUT", "/session/", files=files)
        assert (refused.status_code, set(refused.json())) == (413, {"error", "detail", "hint"})
        assert int(refused.headers["Retry-After"]) > 0
        clients[0].close()
        time.sleep(0.5)
        assert site.ask("PUT", "/session/", files=files).status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_a_body_that_is_no_form_is_refused(serve, kind: str) -> None:
    answer = serve().ask(
        "PUT", "/session/", content=b'{"a": 1}', headers={"Content-Type": kind} if kind else {}
    )
    assert answer.status_code == 400
    assert "is no form" in answer.json()["detail"]


def test_an_empty_body_is_fine_and_a_form_without_files_is_read(serve) -> None:
    site = serve()
    # Past the form: there is no file in it.
    assert site.ask("PUT", "/session/").status_code == 422
    assert site.ask("PUT", "/session/", data={"files": "text"}).json()["detail"].startswith("files is text")


def test_a_form_without_files_does_not_fill_the_memory(serve) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert serve().ask("PUT", "/session/", content=b"a&" * MB, headers=headers).status_code == 413

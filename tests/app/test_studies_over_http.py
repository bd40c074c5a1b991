"""Studies over HTTP: downloads, notes, what is next, the log; and what a source of studies has to say."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from lib.answers.wish import Wish
from lib.infer_task import ClassifyTask

from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.errors import (
    ArchiveUnreachableError,
    CancelledError,
    IncompleteSeriesError,
    NotTrainedError,
)
from vpt_plugin.store.source import OpenedStudy, SourceState

VOXELS = bytes(range(256)) * 300


def conf_of(tmp_path: Path) -> Path:
    (tmp_path / "studies").mkdir(exist_ok=True)
    (tmp_path / "studies" / "a.nii").write_bytes(VOXELS)
    return tmp_path / "studies"


def test_a_file_is_downloaded_byte_for_byte(serve, tmp_path: Path) -> None:
    studies = conf_of(tmp_path)
    running = serve()
    answer = running.ask("GET", "/datastore/image", params={"image": "a.nii"})
    assert (answer.status_code, answer.content) == (200, VOXELS)
    assert answer.headers["content-disposition"] == 'attachment; filename="a.nii"'
    assert str(studies) not in str(answer.headers)


def test_a_dicom_folder_is_downloaded_as_a_zip_of_the_same_study(serve, tmp_path: Path, workshop) -> None:
    studies = conf_of(tmp_path)
    source = workshop.studies / "p01" / "ct"
    write_dicom(read_study(source), studies / "p01")
    # A file without a time of its own, as tapes and container images have.
    os.utime(next((studies / "p01").iterdir()), (0, 0))
    running = serve()
    answer = running.ask("GET", "/datastore/image", params={"image": "p01"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    (tmp_path / "back.zip").write_bytes(answer.content)
    back, before = read_study(tmp_path / "back.zip"), read_study(studies / "p01")
    np.testing.assert_array_equal(back.hu, before.hu)
    assert back.spacing_mm == before.spacing_mm
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert sorted(names) == sorted(path.name for path in (studies / "p01").iterdir())
    assert running.left_behind() == []


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("bytes=0-9", 206), ("bytes=0-1,5-9", 206), ("bytes=a", 400), ("bytes=99999999-", 416)],
)
def test_a_part_of_a_zip_that_is_asked_for_leaves_no_zip_behind(
    serve, tmp_path: Path, workshop, wanted: str, status: int
) -> None:
    write_dicom(read_study(workshop.studies / "p01" / "ct"), conf_of(tmp_path) / "p01")
    running = serve()
    answer = running.ask("GET", "/datastore/image", params={"image": "p01"}, headers={"Range": wanted})
    assert answer.status_code == status
    assert running.left_behind() == []


@pytest.mark.parametrize(
    ("image", "check_sum", "status"),
    [
        ("a.nii", "", 200),
        ("a.nii", hashlib.sha256(VOXELS).hexdigest(), 200),
        ("a.nii", "SHA256:" + hashlib.sha256(VOXELS).hexdigest().upper(), 200),
        ("a.nii", hashlib.sha256(b"").hexdigest(), 404),
        ("b.nii", "", 404),
        ("../a.nii", "", 400),
    ],
)
def test_a_client_can_ask_whether_its_own_copy_is_the_study(
    serve, tmp_path: Path, image: str, check_sum: str, status: int
) -> None:
    conf_of(tmp_path)
    query = {"image": image, **({"check_sum": check_sum} if check_sum else {})}
    assert serve().ask("HEAD", "/datastore/image", params=query).status_code == status


def note(running, info: str, image: str = "a.nii"):  # type: ignore[no-untyped-def]
    return running.ask("PUT", "/datastore/image/info", params={"image": image}, data={"info": info})


def told_of_a(running) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return dict(running.ask("GET", "/datastore/image/info", params={"image": "a.nii"}).json())


def test_notes_about_a_study_are_shown(serve, tmp_path: Path) -> None:
    conf_of(tmp_path)
    running = serve()
    known = told_of_a(running)
    assert known["name"] == "a.nii"
    assert note(running, '{"seen": true}').status_code == 200
    assert note(running, '{"by": "anna", "name": "another"}').status_code == 200
    # What the server knows itself cannot be noted over.
    assert told_of_a(running) == {**known, "seen": True, "by": "anna"}


@pytest.mark.parametrize(
    ("info", "status", "detail"),
    [
        ('{"a": "' + "x" * 70_000 + '"}', 413, "more than 64 KiB of notes about one study."),
        ("[1]", 400, "info must be a JSON object."),
        ('"text"', 400, "info must be a JSON object."),
        ("{", 400, "info is not JSON: Expecting property name"),
        ('{"a": NaN}', 400, "info holds a number or a character that JSON does not know."),
        ('{"a": 1e999}', 400, "info holds a number or a character that JSON does not know."),
        ('{"a": "\\ud800"}', 400, "info holds a number or a character that JSON does not know."),
        ('{"a": ' + "[" * 50 + "]" * 50 + "}", 400, "info is nested deeper than 50 levels."),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", 400, "info is nested deeper than 50 levels."),
    ],
)
def test_a_note_that_could_not_be_shown_is_refused(
    serve, tmp_path: Path, info: str, status: int, detail: str
) -> None:
    conf_of(tmp_path)
    running = serve()
    known = told_of_a(running)
    refused = note(running, info)
    assert refused.status_code == status
    assert refused.json()["detail"].startswith(detail)
    assert told_of_a(running) == known


def test_the_deepest_note_that_is_taken_can_be_shown(serve, tmp_path: Path) -> None:
    conf_of(tmp_path)
    running = serve()
    assert note(running, '{"a": ' + "[" * 49 + "]" * 49 + "}").status_code == 200
    assert running.ask("GET", "/datastore/image/info", params={"image": "a.nii"}).status_code == 200


def test_a_note_about_no_study_is_a_404(serve, tmp_path: Path) -> None:
    conf_of(tmp_path)
    assert note(serve(), "{}", image="b.nii").status_code == 404


class Source:
    """Studies of an archive that fails, or has something to say."""

    name = "archive"

    def __init__(self, error: Exception | None = None, opened: OpenedStudy | None = None) -> None:
        self.error = error
        self.study = opened
        self.opened_times = 0

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    def ids(self) -> list[str]:
        self._answer()
        return ["1.2.3"]

    def require(self, study_id: str) -> None:
        self._answer()

    @contextmanager
    def opened(self, study_id: str, *, cancelled: Callable[[], bool] | None = None) -> Iterator[OpenedStudy]:
        self.opened_times += 1
        self._answer()
        assert self.study is not None
        yield self.study

    def facts(self, study_id: str) -> dict[str, str]:
        self._answer()
        return {"name": "1.2.3"}

    def refresh(self) -> None: ...

    def state(self) -> SourceState:
        return SourceState("archive", reachable=self.error is None, problem=str(self.error or ""))


LABEL = b'{"schema": "vptct.label/1", "task": "nodule", "findings": {"lung_nodule": {"state": "absent"}}}'


@pytest.mark.parametrize("kind", [ArchiveUnreachableError, IncompleteSeriesError])
@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/infer/nodule_tiny?image=1.2.3", {}),
        ("GET", "/datastore/?output=all", {}),
        ("GET", "/datastore/image?image=1.2.3", {}),
        ("GET", "/datastore/image/info?image=1.2.3", {}),
        ("PUT", "/datastore/image/info?image=1.2.3", {}),
        ("PUT", "/datastore/label?image=1.2.3", {"files": {"label": ("l.json", LABEL)}}),
        ("GET", "/datastore/label/history?image=1.2.3&task=nodule", {}),
        ("POST", "/activelearning/random", {}),
    ],
)
def test_what_an_archive_does_not_hand_out_is_a_503_with_the_way_out(
    serve, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], method: str, path: str, options
) -> None:
    running = serve()
    monkeypatch.setattr(ClassifyTask, "check_trained", lambda task: None)
    running.serve_studies(Source(kind("the archive does not answer.", "Ask who runs it.")))
    answer = running.ask(method, path, **options)
    assert answer.status_code == 503
    assert answer.json() == {
        "error": kind.__name__,
        "detail": "the archive does not answer.",
        "hint": "Ask who runs it.",
    }
    assert running.left_behind() == []


def test_the_server_tells_what_it_is_while_its_archive_is_down(serve) -> None:
    running = serve()
    running.serve_studies(Source(ArchiveUnreachableError("down.")))
    told = running.ask("GET", "/info/")
    assert told.status_code == 200
    assert told.json()["vptct"]["studies"] == {"kind": "archive", "reachable": False, "problem": "down."}


def test_what_came_up_on_the_way_is_the_answers_first_warning(
    serve, workshop, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("nodule", "tiny")
    running = serve({"models_dir": str(workshop.models)})
    plain = Source(opened=OpenedStudy(workshop.studies / "p02.nii.gz"))
    noted = Source(opened=OpenedStudy(workshop.studies / "p02.nii.gz", ("a copy was read.", "of May.")))
    warnings = []
    for source in (plain, noted):
        running.app.datastore().studies = source
        answer = running.ask("POST", "/infer/nodule_tiny", params={"image": "1.2.3"})
        assert answer.status_code == 200, answer.text
        warnings.append(answer.json()["vptct"]["warnings"])
    assert warnings[1] == ["a copy was read.", "of May.", *warnings[0]]


def test_an_untrained_model_is_refused_before_a_study_is_fetched_or_an_upload_read(serve) -> None:
    running = serve()
    running.app.datastore().studies = source = Source(opened=OpenedStudy(Path("never")))
    refused = running.ask("POST", "/infer/nodule_tiny", params={"image": "1.2.3"})
    assert (refused.status_code, source.opened_times) == (409, 0)
    # A form that is broken tells whether it was looked at.
    broken = {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}
    assert running.ask("POST", "/infer/nodule_tiny", **broken).status_code == 409
    assert running.ask("POST", "/infer/nodule_none", **broken).status_code == 404


def test_an_untrained_model_says_so_to_whoever_calls_it(serve) -> None:
    with pytest.raises(NotTrainedError, match="nodule_tiny was never trained"):
        serve().app.classify_task("nodule_tiny").ask(
            Path("never"), study="x", content="x", wish=Wish(), gone=lambda: False
        )


def test_the_log_ends_with_its_newest_lines_and_names_no_folder(serve, tmp_path: Path) -> None:
    running = serve({"logs": "on"})
    log = tmp_path / "app" / "logs" / "app.log"
    assert running.ask("GET", "/logs/").status_code == 404
    log.parent.mkdir(parents=True)
    lines = [f"{number} read {tmp_path}/studies/p{number}/1.dcm" for number in range(50_000)]
    log.write_text("\n".join(lines) + "\n")
    assert running.ask("GET", "/logs/?lines=2").text == "49998 read p49998/1.dcm\n49999 read p49999/1.dcm\n"
    most = running.ask("GET", "/logs/?lines=10000").text
    assert str(tmp_path) not in most
    assert len(most) <= 1 << 20
    # The end of a long log begins with a whole line.
    log.write_text("first " + "x" * (1 << 20) + "\nlast\n")
    assert running.ask("GET", "/logs/").text == "last\n"
    log.write_text("x" * (3 << 20))  # One line that never ends.
    assert len(running.ask("GET", "/logs/").text) <= 1 << 20
    assert running.ask("GET", "/logs/?lines=10001").status_code == 422


def test_the_log_and_reloading_are_off_until_they_are_switched_on(serve, tmp_path: Path) -> None:
    studies = conf_of(tmp_path)
    off = serve()
    assert (off.ask("GET", "/logs/").status_code, off.ask("POST", "/reload").status_code) == (405, 405)
    on = serve({"reload": "on"})
    assert on.ask("GET", "/datastore/").json()["total"] == 1
    (studies / "b.nii").write_bytes(b"x")
    assert on.ask("POST", "/reload").json()["total"] == 2
    assert on.ask("GET", "/logs/").status_code == 405


def test_a_client_that_hangs_up_stops_the_fetching_of_its_study(serve) -> None:
    """By a real connection: the source is asked whether to go on by the thread that fetches."""
    running = serve()
    started, stopped = threading.Event(), threading.Event()

    class Slow(Source):
        @contextmanager
        def opened(
            self, study_id: str, *, cancelled: Callable[[], bool] | None = None
        ) -> Iterator[OpenedStudy]:
            assert cancelled is not None
            started.set()
            for _ in range(500):
                if cancelled():
                    stopped.set()
                    break
                threading.Event().wait(0.02)
            raise ArchiveUnreachableError("never")
            yield

    running.app.datastore().studies = Slow()
    with running.listening() as port:
        for path in ("/datastore/image?image=1.2.3", "/datastore/image?image=1.2.3&check_sum=0"):
            started.clear()
            stopped.clear()
            method = "HEAD" if "check_sum" in path else "GET"
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                assert started.wait(10)
            assert stopped.wait(10), path


@pytest.mark.parametrize("uid", ["1" * 65, "1.2;rm", "1..2", "a%2Fb", "1.2.", "\N{DIGIT ZERO}1\n"])
def test_what_is_no_uid_is_refused_before_a_study_is_looked_for(serve, uid: str) -> None:
    answer = serve().ask("GET", f"/datastore/series/{quote(uid, safe='')}")
    assert answer.status_code in (400, 404)
    assert answer.json()["error"] in ("BadRequestError", "HTTPException")
    refused = serve().ask("GET", "/datastore/series/1.2", params={"examination": uid})
    assert (refused.status_code, refused.json()["error"]) == (400, "BadRequestError")


def test_a_series_that_is_not_there_is_told_in_the_servers_own_words(serve) -> None:
    answer = serve().ask("GET", "/datastore/series/1.2.3")
    assert (answer.status_code, answer.json()["error"]) == (404, "StudyNotFoundError")


def test_questions_for_a_series_wait_for_each_other_and_who_hangs_up_ends_theirs(serve) -> None:
    running = serve()
    asked: list[str] = []
    stopped = threading.Event()

    class Slow(Source):
        def study_of_series(
            self, series_uid: str, *, examination: str = "", cancelled: Callable[[], bool] | None = None
        ) -> str:
            assert cancelled is not None
            asked.append(series_uid)
            while not cancelled():
                threading.Event().wait(0.02)
            stopped.set()
            raise CancelledError

    running.app.datastore().studies = Slow()

    def wait_until(condition: Callable[[], bool]) -> None:
        for _ in range(500):
            if condition():
                return
            threading.Event().wait(0.02)
        pytest.fail("it did not come to that")

    turns = running.app.series_in_question
    with running.listening() as port, ExitStack() as open_ones:
        for number in range(3):
            connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(
                f"GET /datastore/series/1.2.{number} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            )
            wait_until(lambda wanted=number + 1: turns.inside + turns.waiting == wanted)
        wait_until(lambda: len(asked) == 2)
        assert (turns.inside, turns.waiting, asked) == (2, 1, ["1.2.0", "1.2.1"])
        open_ones.close()
        assert stopped.wait(10)
        wait_until(lambda: turns.inside == turns.waiting == 0)

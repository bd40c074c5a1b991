"""The start: what is slow elsewhere does not delay it, and what the log says names no folder."""

from __future__ import annotations

import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from server_process import ServerProcess

import vpt_plugin


def test_an_archive_that_never_answers_does_not_delay_the_start(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    conf = {
        "tasks": "nodule", "models": "tiny", "device": "cpu", "scoring": "off",
        "models_dir": str(tmp_path / "models"), "labels_dir": str(tmp_path / "labels"),
        "cache_dir": str(tmp_path / "cache"),
    }  # fmt: skip
    with ThreadPoolExecutor() as pool, socket.create_server(("127.0.0.1", 0)) as silent:
        process = ServerProcess(f"http://127.0.0.1:{silent.getsockname()[1]}/dicom-web", conf=conf)
        entered = pool.submit(process.__enter__)
        try:
            log = log_until(process, "Application startup complete")
        finally:
            # Now whoever still waits for an answer knows that there is none.
            silent.close()
            entered.result().__exit__(None, None, None)
    # It is told when the archive has answered, or was given up.
    assert "not trained, so they do not answer" not in log


def log_until(process: ServerProcess, words: str) -> str:
    """The server's log when these words are in it."""
    for _ in range(1200):
        path = getattr(process, "log_path", None)
        log = path.read_text() if path is not None and path.exists() else ""
        if words in log:
            return log
        time.sleep(0.1)
    raise AssertionError(log)


def test_the_folders_of_python_and_of_the_code_are_not_told(serve) -> None:
    app = serve().app
    code = Path(vpt_plugin.__file__)
    for path in (Path(sys.prefix) / "lib" / "x.py", Path(sys.base_prefix) / "lib" / "x.py", code):
        told = app.without_folders(f'File "{path}", line 1')
        assert str(path.parent) not in told
        assert told.endswith(f'{path.name}", line 1')

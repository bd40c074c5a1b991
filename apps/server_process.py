"""A real MONAI Label server in a process of its own, for tests and for the demo."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import requests

APP = Path(__file__).resolve().parent / "vptct"
_LOG_LINES = 40


class ServerError(Exception):
    """The server did not start; the message holds the end of its log."""


class ServerProcess:
    """The VPTCT server, from entering the ``with`` block to leaving it.

    It listens on 127.0.0.1 only, on a free port. MONAI Label writes logs, models and binaries into the folder
    of the app it serves; so that nothing is left in the source tree, it is given a copy.

    Args:
        studies: the folder to serve, or the address of a DICOM archive.
        conf: what ``--conf`` says: tasks, models, task_file, device, models_dir.
        environment: variables that the server gets beside those of this process.
        start_seconds: how long the server may take until it answers.
    """

    def __init__(
        self,
        studies: Path | str,
        *,
        conf: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        start_seconds: float = 180,
    ) -> None:
        self.studies = studies.resolve() if isinstance(studies, Path) else studies
        self.conf = dict(conf or {})
        self.environment = dict(environment or {})
        self.start_seconds = start_seconds
        self.url = ""
        self.http = requests.Session()
        # A hospital's proxy must not come between this computer and itself.
        self.http.trust_env = False

    def __enter__(self) -> ServerProcess:
        self._folder = Path(tempfile.mkdtemp(prefix="vptct-server-"))
        self.temporary = self._folder / "temporary"
        self.temporary.mkdir()
        self.log_path = self._folder / "server.log"
        not_the_apps = shutil.ignore_patterns("logs", "bin", "model", "__pycache__")
        try:
            shutil.copytree(APP, self._folder / "app", ignore=not_the_apps)
            self._start()
            self._wait_until_it_answers()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def kill(self) -> None:
        """End the server and all it started at once, in the middle of whatever it does."""
        if os.name == "nt":
            self._process.kill()
        else:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def start_again(self) -> float:
        """Start the killed server over the same folders, on another port; returns the seconds it took."""
        began = time.monotonic()
        self._start()
        self._wait_until_it_answers()
        return time.monotonic() - began

    @property
    def log(self) -> str:
        """All that the server has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def _start(self) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        # Not bin/monailabel: that is a shell script, which breaks on spaces in a path.
        command = [sys.executable, "-m", "monailabel.main", "start_server"]
        command += ["--app", str(self._folder / "app"), "--studies", str(self.studies)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        for key, value in self.conf.items():
            command += ["--conf", key, value]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own command, no shell
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                # A .env file in the folder of the caller would change MONAI Label's settings.
                cwd=self._folder,
                env={**os.environ, **self._environment(), **self.environment},
                # A group of its own, so that what the server starts is stopped with it.
                start_new_session=os.name != "nt",
            )

    def _environment(self) -> dict[str, str]:
        temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.temporary))
        return {
            **temporary,
            "MONAI_LABEL_SESSION_PATH": str(self._folder / "sessions"),
            "PYTHONUNBUFFERED": "1",
            # Torch's threads otherwise spin while they wait: a small network beside another busy program
            # then becomes a hundred times slower.
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
            "PYTHONIOENCODING": "utf-8",
        }

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._failure(f"ended with exit code {self._process.returncode}")
            try:
                answer = self.http.get(f"{self.url}/info/", timeout=10)
                # One that wants a login is up, too.
                if answer.ok or answer.status_code == requests.codes.unauthorized:
                    return
            except (requests.ConnectionError, requests.Timeout):
                pass  # It is still loading.
            time.sleep(0.2)
        raise self._failure(f"did not answer within {self.start_seconds:.0f} s")

    def _failure(self, what: str) -> ServerError:
        end = "\n".join(self.log.splitlines()[-_LOG_LINES:])
        return ServerError(f"the server {what}. The end of its log:\n{end}")

    def _stop(self) -> None:
        self.http.close()
        if hasattr(self, "_process"):
            _stop_with_children(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


def _stop_with_children(process: subprocess.Popen[bytes], *, patience_seconds: float = 10) -> None:
    """Ask the process to stop, then end it and all it started."""
    if os.name == "nt":
        # Windows has no groups of processes to signal; taskkill walks the tree of children.
        subprocess.run(  # noqa: S603
            ["taskkill", "/PID", str(process.pid), "/T", "/F"],  # noqa: S607
            check=False,
            capture_output=True,
        )
        process.wait()
        return
    process.terminate()
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    with suppress(ProcessLookupError):  # The server was alone, and has gone.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

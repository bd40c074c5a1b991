"""A real Orthanc, a small free DICOM archive, in a process of its own, for tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import requests

HOW_TO_INSTALL = "On Debian or Ubuntu: sudo apt-get install orthanc orthanc-dicomweb dcmtk"
_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/local/share/orthanc/plugins", "/usr/lib/orthanc")
_PLUGIN = "libOrthancDicomWeb.so"
_CALLER, _CALLED = "VPTCT", "ORTHANC"
_LOG_LINES = 30


class OrthancError(Exception):
    """Orthanc or DCMTK is not there or did not do what it was asked for."""


def what_is_missing() -> str:
    """What of Orthanc, its DICOMweb plugin and DCMTK's storescu this computer lacks; "" for nothing."""
    found = {"Orthanc": _program("Orthanc"), _PLUGIN: _plugin(), "storescu": _program("storescu")}
    return ", ".join(name for name, path in found.items() if path is None)


class OrthancProcess:
    """An Orthanc with a storage of its own, which outlasts ``stop`` and ``start``.

    It takes DICOMweb and REST requests from this computer only, and DICOM from this computer's storescu only.
    The ports stay the same over a restart.

    Args:
        login: user name and password that it asks for; None lets everybody in.
        start_seconds: how long it may take until it answers.
    """

    def __init__(self, *, login: tuple[str, str] | None = None, start_seconds: float = 30) -> None:
        self.login = login
        self.start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.http = requests.Session()
        # A hospital's proxy must not come between this computer and itself.
        self.http.trust_env = False
        self.http.auth = login

    def __enter__(self) -> OrthancProcess:
        if missing := what_is_missing():
            raise OrthancError(f"{missing} not found. {HOW_TO_INSTALL}")
        self._folder = Path(tempfile.mkdtemp(prefix="vptct-orthanc-"))
        try:
            self._http_port, self._dicom_port = _free_ports(2)
            self._configuration().write_text(json.dumps(self._settings(), indent=1), encoding="utf-8")
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def rest_url(self) -> str:
        """The address of Orthanc's own REST interface, which is no DICOMweb."""
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def url(self) -> str:
        """The address of its DICOMweb service: what ``--studies`` takes."""
        return f"{self.rest_url}/dicom-web"

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped and not started again."""
        return self._process is None

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return (self._folder / "orthanc.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it over the storage as it is.

        Raises:
            OrthancError: it does not answer; the message holds the end of its log.
        """
        with (self._folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own command, no shell
                [str(_program("Orthanc")), str(self._configuration())],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                start_new_session=True,
            )
        self._wait_until_it_answers()

    def stop(self, *, at_once: bool = False) -> None:
        """Stop it; the storage stays.

        Args:
            at_once: kill it, in the middle of whatever it does.
        """
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL if at_once else signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def send(self, folder: Path) -> None:
        """Send all DICOM files of a folder as a scanner does: C-STORE, with DCMTK's storescu.

        Raises:
            OrthancError: it did not take them all.
        """
        # +sd +r: the folder and those in it; -R: propose only what the files are stored as.
        command = [str(_program("storescu")), "-aet", _CALLER, "-aec", _CALLED, "-R", "+sd", "+r"]
        command += ["127.0.0.1", str(self._dicom_port), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise OrthancError(f"storescu ended with {done.returncode}: {done.stdout}{done.stderr}")

    def put(self, files: Iterable[Path]) -> list[str]:
        """Put DICOM files in through the REST interface, in any transfer syntax.

        Returns:
            Orthanc's own ids of them, for ``delete``.
        """
        answers = []
        for file in files:
            answer = self.http.post(f"{self.rest_url}/instances", data=file.read_bytes(), timeout=60)
            answer.raise_for_status()
            answers.append(str(answer.json()["ID"]))
        return answers

    def delete(self, instances: Iterable[str]) -> None:
        """Remove instances, by Orthanc's own ids."""
        for instance in instances:
            self.http.delete(f"{self.rest_url}/instances/{instance}", timeout=60).raise_for_status()

    def _configuration(self) -> Path:
        return self._folder / "orthanc.json"

    def _settings(self) -> dict[str, object]:
        storage = str(self._folder / "storage")
        return {
            "Name": "VPTCT's tests",
            "StorageDirectory": storage,
            "IndexDirectory": storage,
            "Plugins": [str(_plugin())],
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": self.login is not None,
            "RegisteredUsers": dict([self.login]) if self.login else {},
            "DicomPort": self._dicom_port,
            "DicomAet": _CALLED,
            # Orthanc listens on every address and cannot be told otherwise; so nobody else is let in.
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            "DicomCheckModalityHost": True,
            "DicomModalities": {"tests": [_CALLER, "127.0.0.1", 1]},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise self._failure(f"ended with exit code {self._process.returncode}")
            with suppress(requests.ConnectionError, requests.Timeout):
                if self.http.get(f"{self.url}/studies?limit=1", timeout=10).ok:
                    return
            time.sleep(0.05)
        raise self._failure(f"did not answer within {self.start_seconds:.0f} s")

    def _failure(self, what: str) -> OrthancError:
        end = "\n".join(self.log.splitlines()[-_LOG_LINES:])
        return OrthancError(f"Orthanc {what}. The end of its log:\n{end}")

    def _remove(self) -> None:
        self.http.close()
        self.stop(at_once=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def _program(name: str) -> Path | None:
    # Debian has Orthanc in /usr/sbin, which is not on everybody's path.
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def _plugin() -> Path | None:
    candidates = (Path(folder) / _PLUGIN for folder in _PLUGINS)
    return next((path for path in candidates if path.is_file()), None)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()

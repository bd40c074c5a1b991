"""WeightsFolder: published weights on this computer; downloading, importing, checking and reading them.

This is the only module that reaches for the network, and only when ``fetch`` is called.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import requests

from vpt_plugin.digest import file_sha256
from vpt_plugin.durable import publish_file, write_over
from vpt_plugin.errors import ChecksumError, WeightsError, WeightsNotFoundError
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.sources import WEIGHTS, WeightsSource, get_source

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["WEIGHTS", "WeightsFolder", "WeightsSource", "get_source", "vptct_home"]

Progress = Callable[[int, int | None], None]
_CHUNK_BYTES = 1 << 18
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECONDS_TO_CONNECT, _SECONDS_OF_SILENCE = 10, 60
_PARTIAL, _RANGE_REFUSED = 206, 416
_PLAIN = {"Accept-Encoding": "identity"}  # the file's own bytes, so that they can be counted


def vptct_home() -> Path:
    """Where VPTCT keeps its files: ``VPTCT_HOME``, or the platform's folder for an application's data."""
    return Path(os.environ.get("VPTCT_HOME") or platformdirs.user_data_dir("vptct", appauthor=False))


class WeightsFolder:
    """A folder of published weights.

    A file gets its name here only when it is whole, its checksum is right and its entries fit the network.
    Where the publisher gives no (full) checksum, it is recorded beside the file at first use and checked ever
    after.

    Args:
        root: the folder; None takes ``weights`` in ``vptct_home()``.
        session: what downloads; None takes a fresh one each time.
    """

    def __init__(self, root: Path | None = None, *, session: requests.Session | None = None) -> None:
        self.root = root if root is not None else vptct_home() / "weights"
        self._session = session

    def path(self, source: WeightsSource) -> Path:
        """Where the file is, or would be."""
        return self.root / source.filename

    def has(self, source: WeightsSource) -> bool:
        """Whether the file is here; it is not checked."""
        return self.path(source).is_file()

    def fetch(self, source: WeightsSource, progress: Progress | None = None) -> Path:
        """Downloads the file unless it is here already; a download that broke off goes on where it stopped.

        Args:
            source: which file.
            progress: called with the bytes that are here and the bytes in all (None where the server does not
                say).

        Raises:
            WeightsError: the server cannot be reached, refuses, or answers with a web page.
            ChecksumError, WeightsLayoutError: what came is not the file that is needed.
        """
        if self.has(source):
            self.verify(source)
            return self.path(source)
        recorded = self._recorded(source)  # before the download: a damaged record says nothing of what comes
        self.root.mkdir(parents=True, exist_ok=True)
        part = self.root / f"{source.filename}.part"
        with nullcontext(self._session) if self._session else requests.Session() as session:
            _Download(source, part, session).run(progress or (lambda *_: None))
        try:
            digest = self._examine(source, part, recorded, what=source.filename)
        except WeightsError:
            part.unlink()
            raise
        return self._keep(source, part, digest)

    def import_file(self, source: WeightsSource, file: Path) -> Path:
        """Copies a local file into the folder, for computers without internet.

        Raises:
            WeightsNotFoundError: there is no such file.
            WeightsError, ChecksumError, WeightsLayoutError: it is not the file that is needed.
        """
        if not file.is_file():
            raise WeightsNotFoundError(f"{file}: there is no such file.")
        recorded = self._recorded(source)
        self.root.mkdir(parents=True, exist_ok=True)
        part = self.root / f"{source.filename}.import.part"
        try:
            with file.open("rb") as given, part.open("wb") as copy:
                shutil.copyfileobj(given, copy, _CHUNK_BYTES)
            # Of the copy, which is what will be loaded.
            return self._keep(source, part, self._examine(source, part, recorded, what=str(file)))
        finally:
            part.unlink(missing_ok=True)

    def verify(self, source: WeightsSource) -> str:
        """Checks the file against its published or recorded checksum, and records it at first use.

        Returns:
            Its SHA-256.

        Raises:
            WeightsNotFoundError: it is not here.
            ChecksumError: it is another file.
            WeightsLayoutError: it was never used before and does not fit the network.
        """
        if not self.has(source):
            raise self._not_found(source)
        digest = self._examine(source, self.path(source), self._recorded(source), what=source.filename)
        self._record(source, digest)
        return digest

    def load(self, source: WeightsSource) -> dict[str, Tensor]:
        """The file's entries under the names of the network that ``ModelSpec.build`` makes.

        Raises:
            WeightsNotFoundError, ChecksumError, WeightsLayoutError: as ``verify``.
        """
        from vpt_plugin.models.layouts import read_weights

        self.verify(source)
        return read_weights(self.path(source), source.layout, what=source.filename)

    def _record_path(self, source: WeightsSource) -> Path:
        return self.root / f"{source.filename}.sha256.json"

    def _recorded(self, source: WeightsSource) -> str:
        """The SHA-256 recorded at first use, or ""."""
        record = self._record_path(source)
        if not record.is_file():
            return ""
        try:
            digest = str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
            if not _SHA256.fullmatch(digest):
                raise ValueError(digest)
        except (ValueError, KeyError, TypeError) as error:
            raise ChecksumError(f"{record}: is damaged.", "Delete it and fetch or import again.") from error
        return digest

    def _record(self, source: WeightsSource, digest: str) -> None:
        record = self._record_path(source)
        if source.sha256 or record.is_file():
            return
        facts = {
            "sha256": digest,
            "url": source.url,
            "first_used": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        write_over(record, json.dumps(facts, indent=1).encode())

    def _keep(self, source: WeightsSource, part: Path, digest: str) -> Path:
        """Gives a finished and examined file its name."""
        publish_file(part, self.path(source))
        self._record(source, digest)
        return self.path(source)

    def _examine(self, source: WeightsSource, path: Path, recorded: str, *, what: str) -> str:
        """The SHA-256 of a file that is what it should be; ``what`` names it in the messages."""
        if _is_web_page(path):
            raise _web_page_instead(source, what)
        digest = file_sha256(path)
        for known, by in ((source.sha256 or source.sha256_prefix, "publisher"), (recorded, "first use")):
            if not digest.startswith(known):
                raise self._wrong_checksum(source, what, digest, known, by)
        if not (source.sha256 or recorded):
            # Imported here, because torch takes seconds to import and listing the weights does not need it.
            from vpt_plugin.models.layouts import check_file

            check_file(path, source.layout, get_model(source.model), what=what)
        return digest

    def _wrong_checksum(
        self, source: WeightsSource, what: str, digest: str, known: str, by: str
    ) -> ChecksumError:
        hint = "It is damaged or another file: remove it and fetch or import the right one."
        if by == "first use":
            hint += f" If its publisher replaced it, remove {self._record_path(source)} as well."
        return ChecksumError(
            f"{what}: its SHA-256 begins with {digest[:16]}, but that of the {by} with {known[:16]}.", hint
        )

    def _not_found(self, source: WeightsSource) -> WeightsNotFoundError:
        return WeightsNotFoundError(
            f"the {source.pretraining} weights of {source.model} are not on this computer: "
            f"{self.path(source)} is missing.",
            f"Get them with `vpt weights fetch {source.name}`, or download {source.url} elsewhere and run "
            f"`vpt weights import {source.name} FILE`. Licence: {source.licence}",
        )


def _is_web_page(path: Path) -> bool:
    with path.open("rb") as file:
        beginning = file.read(512).lstrip().lower()
    return beginning.startswith((b"<!doctype html", b"<html"))


def _web_page_instead(source: WeightsSource, what: str) -> WeightsError:
    return WeightsError(
        f"{what}: this is a web page instead of the file.",
        f"Download it in a browser from {source.url} and import it: `vpt weights import {source.name} FILE`.",
    )


def _cause(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server is silent"
    return "there is no connection, or it broke off"


class _Download:
    """One download into a ``.part`` file.

    The part may only be continued when the server still has the same version of the file; so the version (the
    ETag) is kept beside it, and a server that gives none is asked for the whole file again.
    """

    def __init__(self, source: WeightsSource, part: Path, session: requests.Session) -> None:
        self._source = source
        self._part = part
        self._version = part.with_name(f"{part.name}.etag")
        self._session = session

    def run(self, progress: Progress) -> None:
        try:
            with self._ask() as answer:
                answer.raise_for_status()
                if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
                    raise _web_page_instead(self._source, self._source.filename)
                self._receive(answer, progress)
        except requests.RequestException as error:
            raise WeightsError(
                f"{self._source.filename}: could not be downloaded from {self._source.url}: {_cause(error)}.",
                "Run the same command again, it goes on where it stopped; or download the file in a browser "
                f"and import it: `vpt weights import {self._source.name} FILE`.",
            ) from error
        self._version.unlink(missing_ok=True)

    def _ask(self) -> requests.Response:
        here = self._part.stat().st_size if self._part.is_file() and self._version.is_file() else 0
        headers = dict(_PLAIN)
        if here:
            headers |= {"Range": f"bytes={here}-", "If-Range": self._version.read_text(encoding="latin-1")}
        timeout = (_SECONDS_TO_CONNECT, _SECONDS_OF_SILENCE)
        answer = self._session.get(self._source.url, headers=headers, stream=True, timeout=timeout)
        goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {here}-")
        if answer.status_code == _RANGE_REFUSED or (answer.status_code == _PARTIAL and not goes_on):
            answer.close()
            self._part.unlink(missing_ok=True)
            return self._session.get(self._source.url, headers=_PLAIN, stream=True, timeout=timeout)
        return answer

    def _receive(self, answer: requests.Response, progress: Progress) -> None:
        here = self._part.stat().st_size if answer.status_code == _PARTIAL else 0
        length = answer.headers.get("Content-Length")
        total = here + int(length) if length is not None else None
        self._keep_version(answer.headers.get("ETag", ""))
        with self._part.open("ab" if here else "wb") as file:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                here += len(chunk)
                progress(here, total)
        if total is not None and here != total:
            raise requests.ConnectionError(f"{here} of {total} bytes came")

    def _keep_version(self, etag: str) -> None:
        if etag and not etag.startswith("W/"):  # a weak one does not promise the same bytes
            self._version.write_text(etag, encoding="latin-1")
        else:
            self._version.unlink(missing_ok=True)

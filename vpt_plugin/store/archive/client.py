"""ArchiveClient: one conversation with a DICOMweb archive, with timeouts, retries and errors that tell."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from vpt_plugin.errors import ArchiveError, ArchiveUnreachableError, CancelledError
from vpt_plugin.store.archive.address import ArchiveAddress, Credentials
from vpt_plugin.store.archive.failures import RefusedRequestError, is_passing, no_dicomweb, told
from vpt_plugin.store.archive.identity import check_identity
from vpt_plugin.store.archive.multipart import dicom_file_of
from vpt_plugin.store.archive.paging import Row, all_rows
from vpt_plugin.store.archive.storing import require_stored, stored_as

SERIES_UID, STUDY_UID, INSTANCE_UID = "0020000E", "0020000D", "00080018"
_ROWS_PER_PAGE = 1000
_CHUNK_BYTES = 1 << 18
# A slice of a CT has half a megabyte, one of 2048 x 2048 pixels eight.
_MOST_FILE_BYTES = 256 << 20
# As stored, and not packed once more for the way: DICOM PS3.18, 8.7.3.5.2.
_AS_STORED = {
    "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*',
    "Accept-Encoding": "identity",
}
_NOT_THERE = (404, 410)
_FIELDS = ["StudyDate", "SeriesDescription", "PatientID", "NumberOfSeriesRelatedInstances"]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Patience:
    """How long to wait for an archive.

    Attributes:
        connect_seconds: until it takes the call.
        silence_seconds: until its next bytes come.
        pauses_seconds: between one try and the next, where the trouble may pass by itself.
        retry_seconds: after so long no other try is begun.
    """

    connect_seconds: float = 5.0
    silence_seconds: float = 30.0
    pauses_seconds: tuple[float, ...] = (0.3, 1.0, 3.0)
    retry_seconds: float = 20.0


USUAL_PATIENCE = Patience()


class ArchiveClient:
    """One conversation with the archive; every thread has its own.

    Args:
        address: where it is.
        credentials: who asks; None asks without a login.
        patience: how long to wait.
        cancelled: asked while waiting and between pieces of an answer.
    """

    def __init__(
        self,
        address: ArchiveAddress,
        credentials: Credentials | None = None,
        *,
        patience: Patience = USUAL_PATIENCE,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.address = address
        self._with_login = credentials is not None
        self._patience = patience
        self._cancelled = cancelled or (lambda: False)
        self._session = _session(address, credentials, patience)
        # Anonymised files have UIDs with letters in them.
        self._dicomweb = DICOMwebClient(address.url, session=self._session, permissive_uid=True)
        self._dicomweb.set_http_retry_params(retry=False)  # ours know a deadline and connections that break
        # Without retries it still logs every failure with its stack; the errors raised here tell enough.
        logging.getLogger("retrying").setLevel(logging.ERROR)

    def __enter__(self) -> ArchiveClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def studies(self, filters: Mapping[str, str]) -> list[Row]:
        """The studies that match, each a row of DICOM JSON by tag."""
        return list(self._search(self._dicomweb.search_for_studies, STUDY_UID, filters).values())

    def series(self, filters: Mapping[str, str], *, study_uid: str | None = None) -> list[Row]:
        """The series that match, of one study or, where the archive offers that, of all.

        Raises:
            RefusedRequestError: the archive does not offer this search.
            ArchiveUnreachableError.
        """
        search = self._dicomweb.search_for_series
        rows = self._search(search, SERIES_UID, filters, study_instance_uid=study_uid, fields=_FIELDS)
        return list(rows.values())

    def instances(self, study_uid: str, series_uid: str) -> list[str]:
        """The SOPInstanceUIDs of all instances of a series, sorted.

        Raises:
            ArchiveError.
        """
        search = self._dicomweb.search_for_instances
        where = {"study_instance_uid": study_uid, "series_instance_uid": series_uid}
        return sorted(self._search(search, INSTANCE_UID, {}, **where))

    def instance(self, study_uid: str, series_uid: str, instance_uid: str) -> bytes:
        """One DICOM file as the archive sent it, in the transfer syntax in which it is stored.

        Raises:
            RefusedRequestError: the archive does not hand it out.
            ArchiveError: what came is cut short, another file, or too large for a slice.
            ArchiveUnreachableError, CancelledError.
        """
        where = f"studies/{study_uid}/series/{series_uid}/instances/{instance_uid}"
        content_type, body = self._patiently(lambda: self._download(f"{self.address.url}/{where}"))
        data = dicom_file_of(content_type, body)
        check_identity(data, series_uid, instance_uid)
        return data

    def instance_or_none(self, study_uid: str, series_uid: str, instance_uid: str) -> bytes | None:
        """One DICOM file as ``instance`` gives it; None where the archive has none of that UID.

        Raises:
            ArchiveError, ArchiveUnreachableError, CancelledError: as ``instance``.
        """
        try:
            return self.instance(study_uid, series_uid, instance_uid)
        except RefusedRequestError as error:
            if error.status not in _NOT_THERE:
                raise
            return None

    def store(self, data: bytes, study_uid: str) -> None:
        """Store one DICOM file in its study. A file whose SOPInstanceUID is there already is not there twice.

        Raises:
            RefusedRequestError: the archive does not take it.
            ArchiveError: it says that it could not store it.
            ArchiveUnreachableError, CancelledError.
        """
        headers, body = stored_as(data)

        def send() -> Any:
            url = f"{self.address.url}/studies/{study_uid}"
            with self._session.post(url, data=body, headers=headers) as answer:
                answer.raise_for_status()
                spoken = answer.headers.get("Content-Type", "").startswith("application/dicom+json")
                return answer.json() if spoken else None

        self._check_cancelled()
        require_stored(self._patiently(send), self.address.host)

    def _download(self, url: str) -> tuple[str, bytearray]:
        body = bytearray()
        with self._session.get(url, headers=_AS_STORED, stream=True) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_content(_CHUNK_BYTES):
                self._check_cancelled()
                body += chunk
                if len(body) > _MOST_FILE_BYTES:
                    raise ArchiveError(
                        f"the archive sends more than {_MOST_FILE_BYTES >> 20} MiB for one slice."
                    )
        content_type = answer.headers.get("Content-Type", "")
        bare = content_type.startswith("application/dicom")
        if bare and not {"Content-Length", "Transfer-Encoding"} & answer.headers.keys():
            raise ArchiveError(
                "the archive does not say how long the file is, so it cannot be known to be whole."
            )
        return content_type, body

    def _search(
        self, search: Callable[..., Any], tag: str, filters: Mapping[str, str], **options: Any
    ) -> dict[str, Row]:
        def page(limit: int | None, offset: int | None) -> list[Row]:
            self._check_cancelled()
            return self._patiently(
                lambda: self._rows(
                    search(limit=limit, offset=offset, search_filters=dict(filters), **options), tag
                )
            )

        return all_rows(page, lambda row: text_of(row, tag), limit=_ROWS_PER_PAGE)

    def _rows(self, rows: Any, tag: str) -> list[Row]:
        told_rows = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        if not told_rows or (rows and not any(text_of(row, tag) for row in rows)):
            raise no_dicomweb(self.address.host, "its answer is no list of DICOM results")
        return list(rows)

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """What ``ask`` gets, asked again where the trouble may pass."""
        began = time.monotonic()
        pauses = iter(self._patience.pauses_seconds)
        while True:
            try:
                return ask()
            except requests.exceptions.JSONDecodeError as error:
                raise no_dicomweb(self.address.host, "its answer is a web page or other text") from error
            except requests.RequestException as error:
                pause = next(pauses, None)
                late = time.monotonic() - began > self._patience.retry_seconds
                if pause is None or late or not is_passing(error):
                    raise told(error, self.address.host, with_login=self._with_login) from error
            self._wait(pause)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_cancelled()
            time.sleep(min(left, 0.1))

    def _check_cancelled(self) -> None:
        if self._cancelled():
            raise CancelledError


def text_of(row: Row, tag: str) -> str:
    """The values of one attribute of a row of DICOM JSON, with ``\\`` between; "" where there are none."""
    attribute = row.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return "\\".join(str(value) for value in values if value is not None) if isinstance(values, list) else ""


class _Adapter(HTTPAdapter):
    """Sets the timeouts, which dicomweb-client does not know."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self._timeout = (patience.connect_seconds, patience.silence_seconds)

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send the request with our timeouts, to the host and port of its address."""
        # dicomweb-client names the host without its port, which a proxy before the archive may trip over.
        request.headers.pop("Host", None)
        return super().send(request, *args, **{**options, "timeout": self._timeout})


def _session(
    address: ArchiveAddress, credentials: Credentials | None, patience: Patience
) -> requests.Session:
    session = requests.Session()
    # Nothing but the credentials given: requests would also send those of ~/.netrc.
    session.trust_env = False
    session.auth = credentials
    session.verify = _authorities()
    if not address.is_this_computer:
        session.proxies.update(get_environ_proxies(address.url))
    # Credentials go to the address given and no further.
    session.max_redirects = 0
    for protocol in ("http://", "https://"):
        session.mount(protocol, _Adapter(patience))
    return session


def _authorities() -> str | bool:
    """The file or folder of those whose certificates are trusted; True for those that everybody trusts."""
    path = os.environ.get("REQUESTS_CA_BUNDLE", "")
    if path and not Path(path).exists():
        raise ArchiveUnreachableError(
            "REQUESTS_CA_BUNDLE names no file that is there.", "Correct it in the environment of the server."
        )
    return path or True

"""Studies: which there are, uploads and downloads, and what a network says of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from ..contract.archive_report import ArchiveReport, read_archive_report
from ..contract.fields import Fields
from ..contract.login import UploadSession, read_session
from ..contract.result import Result, read_result
from ..errors import LocalFileError, NotOfferedError, NotThereError, NotTrainedError
from ..transport.cancel import Cancel
from ..transport.connection import Connection, Download
from ..transport.link_speed import LinkSpeed
from ..transport.request import LONG, Request, get
from ..transport.upload import Forms, OnProgress, StudyFile, ending_of, no_progress, study_parts
from ..transport.wish import wish_fields, wish_parts

# By these a server tells that it has no such study, and that it has no such route.
_NO_STUDY, _NO_ROUTE = "StudyNotFoundError", "HTTPException"


class Studies:
    """Asks about studies. Every function raises VptctError, see ``Connection.json``.

    Args:
        connection: to the server.
        link: how fast uploads went so far.
    """

    def __init__(self, connection: Connection, link: LinkSpeed) -> None:
        self._connection = connection
        self.link = link

    def ids(self, cancel: Cancel | None = None) -> tuple[str, ...]:
        """The ids of all studies of the server."""
        listed = self._connection.json(get("/datastore/", output="all"), cancel)
        return tuple(Fields(listed, "the studies").inner("objects").data)

    def has(self, study: str, cancel: Cancel | None = None) -> bool:
        """Whether the server has a study of this id; of an archive the id is the series UID."""
        try:
            # Not HEAD, whose answer cannot tell the server's own "no" from that of a proxy.
            self._connection.content(get("/datastore/image/info", image=study), cancel)
        except NotThereError as error:
            if not error.own_words:
                raise
            return False
        return True

    def of_series(
        self, series_uid: str, *, examination: str = "", cancel: Cancel | None = None
    ) -> str | None:
        """The id of the study that the server reads from a DICOM series; None where there is none.

        Args:
            series_uid: SeriesInstanceUID.
            examination: StudyInstanceUID; "" where it is not known. With it a study is also found where other
                series lie beside this one.
            cancel: ends it.

        Raises:
            NotOfferedError: an older server, which cannot tell.
        """
        asked = get(f"/datastore/series/{quote(series_uid, safe='')}", examination=examination or None)
        try:
            return Fields(self._connection.json(asked, cancel), "the study").text("image")
        except NotThereError as error:
            if error.error == _NO_STUDY:
                return None
            if error.error == _NO_ROUTE:
                raise NotOfferedError(error.message, error.hint, status=error.status) from error
            raise

    def download(
        self, study: str, folder: Path, *, progress: OnProgress = no_progress, cancel: Cancel | None = None
    ) -> Path:
        """Fetch a study: a file as the server has it, or a zip of DICOM.

        Args:
            study: its id.
            folder: an existing one; the file there is called ``study`` with the ending of its format.
            progress: bytes so far and in all.
            cancel: ends it.

        Returns:
            The file. It has its name only when all of it came.

        Raises:
            LocalFileError: it cannot be written.
        """
        unfinished = folder / "study.unfinished"
        ending: list[str] = []

        def opened(headers: Mapping[str, str]) -> BinaryIO:
            ending[:] = [ending_of(Path(_filename(headers)))]
            try:
                return unfinished.open("wb")
            except OSError as error:
                raise LocalFileError(f"{folder} cannot be written: {error}.") from error

        request = Request("GET", "/datastore/image", {"image": study}, repeat=True, patience=LONG)
        try:
            self._connection.download(request, Download(opened, progress), cancel)
            return unfinished.replace(folder / f"study{ending[0]}")
        finally:
            unfinished.unlink(missing_ok=True)

    def upload(
        self, files: Sequence[StudyFile], *, progress: OnProgress = no_progress, cancel: Cancel | None = None
    ) -> UploadSession:
        """Upload a study once, to be classified any number of times while its session lasts.

        Args:
            files: one NIfTI, NRRD or MHA file, a packed study, a zip or tar of DICOM, or the DICOM files of a
                series. Their names stay here; what is in them does not.
            progress: bytes so far and in all.
            cancel: ends it.

        Raises:
            LocalFileError: a file cannot be read.
            NotOfferedError: sessions are switched off; ``classify_file`` does without.
        """
        cancel = cancel if cancel is not None else Cancel()
        forms = Forms(study_parts(files, "files"), progress, cancel)
        request = Request("PUT", "/session/", form=forms.new, patience=LONG)
        return read_session(self._sent(request, forms, cancel))

    def add(self, file: Path, *, progress: OnProgress = no_progress, cancel: Cancel | None = None) -> str:
        """Make a file a study of the server, to be labelled there; its id.

        To be sent again without harm where an answer is lost: the same bytes are the same study.

        Args:
            file: a NIfTI, NRRD or MHA file, whole and without a patient's name: others will look at it. Its
                own name stays here.
            progress: bytes so far and in all.
            cancel: ends it; whether it was added is then not known.

        Raises:
            LocalFileError: the file cannot be read.
            NotAllowedError: only annotators add studies.
            NotOfferedError: this server takes none; ``Uploads.add_studies`` mostly tells before.
            RefusedError: it cannot be read as a chest CT.
        """
        cancel = cancel if cancel is not None else Cancel()
        forms = Forms(study_parts([file], "file"), progress, cancel)
        request = Request("PUT", "/datastore/", form=forms.new, patience=LONG, repeat=True)
        return Fields(self._sent(request, forms, cancel), "the added study").text("image")

    def forget_upload(self, session: UploadSession, cancel: Cancel | None = None) -> None:
        """Remove an uploaded study from the server; one that has expired is gone already."""
        try:
            self._connection.content(Request("DELETE", f"/session/{session.id}", repeat=True), cancel)
        except NotThereError:
            return

    def classify(
        self, model: str, study: str, cancel: Cancel | None = None, *, anyway: bool = False
    ) -> Result:
        """What a network says of a study of the server; waits for its turn there.

        Args:
            model: ``<task>_<network>``.
            study: its id.
            cancel: closes the connection, by which the server stops, too.
            anyway: also where an answer would be meaningless, which is else refused.

        Raises:
            NotTrainedError: this network was never trained for this task.
            RefusedError: ``UnsuitableStudyError``, where only ``anyway`` brings an answer.
        """
        return self._classified(model, {"image": study}, anyway, cancel)

    def classify_upload(
        self, model: str, session: UploadSession, cancel: Cancel | None = None, *, anyway: bool = False
    ) -> Result:
        """What a network says of an uploaded study. Raises: as ``classify``.

        Raises:
            NotThereError: the session has expired, or the server was started anew: upload again.
        """
        return self._classified(model, {"session_id": session.id}, anyway, cancel)

    def classify_file(
        self,
        model: str,
        file: StudyFile,
        *,
        progress: OnProgress = no_progress,
        cancel: Cancel | None = None,
        anyway: bool = False,
    ) -> Result:
        """Upload one file and classify it; the server keeps nothing. Raises: as ``upload``, ``classify``."""
        cancel = cancel if cancel is not None else Cancel()
        forms = Forms([*wish_parts(anyway=anyway), *study_parts([file], "file")], progress, cancel)
        request = Request("POST", f"/infer/{model}", form=forms.new, conflict=NotTrainedError, patience=LONG)
        return read_result(self._sent(request, forms, cancel))

    def report(self, model: str, study: str, cancel: Cancel | None = None) -> ArchiveReport:
        """Have what a network says of a study stored in the archive that it is from. Raises: as ``classify``.

        To be sent again without harm where an answer is lost: the same answer is one report.

        Raises:
            NotOfferedError: this server sends none.
            RefusedError: the study has no DICOM instances that a report could refer to.
        """
        request = Request(
            "POST", f"/report/{model}", {"image": study, "send": "true"}, conflict=NotTrainedError,
            patience=LONG, repeat=True,
        )  # fmt: skip
        return read_archive_report(self._connection.json(request, cancel))

    def _sent(self, request: Request, forms: Forms, cancel: Cancel) -> Any:
        """The answer to what brings files; how fast they went is learnt."""
        answer = self._connection.json(request, cancel)
        if forms.latest is not None:
            self.link.learn(len(forms.latest), forms.latest.sending_seconds)
        return answer

    def _classified(
        self, model: str, params: Mapping[str, str], anyway: bool, cancel: Cancel | None
    ) -> Result:
        fields = wish_fields(anyway=anyway) or None
        request = Request(
            "POST", f"/infer/{model}", params, fields=fields, conflict=NotTrainedError, patience=LONG
        )
        return read_result(self._connection.json(request, cancel))


def _filename(headers: Mapping[str, str]) -> str:
    """What the server calls a file; only its ending is used."""
    message = Message()
    message["Content-Disposition"] = headers.get("Content-Disposition", "")
    return message.get_filename() or ""

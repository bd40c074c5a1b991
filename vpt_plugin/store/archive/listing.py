"""Which series an archive holds: what is wanted of it, and how to ask for that."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import translate
from typing import Any

from vpt_plugin.errors import ConfigurationError, IncompleteSeriesError
from vpt_plugin.store.archive.client import SERIES_UID, STUDY_UID, ArchiveClient, text_of
from vpt_plugin.store.archive.failures import RefusedRequestError, no_search
from vpt_plugin.store.archive.identity import is_uid
from vpt_plugin.store.archive.paging import Row

_logger = logging.getLogger(__name__)
_MODALITY, _MODALITIES, _STUDY_DATE = "00080060", "00080061", "00080020"
_DESCRIPTION, _PATIENT, _SLICES = "0008103E", "00100020", "00201209"
_DATE = re.compile(r"[12][0-9]{3}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_CODE = re.compile(r"[A-Z0-9_]{1,16}")


@dataclass(frozen=True)
class SeriesRecord:
    """What the archive says of one series.

    Attributes:
        uid: SeriesInstanceUID.
        study_uid: StudyInstanceUID.
        modality: such as ``CT``; "" where the archive does not say.
        study_date: as in DICOM, ``20201231``; "" where the archive does not say.
        description: SeriesDescription, or "".
        patient: PatientID, or "".
        slices: how many instances the archive counts in it; None where it does not say.
    """

    uid: str
    study_uid: str
    modality: str = ""
    study_date: str = ""
    description: str = ""
    patient: str = ""
    slices: int | None = None

    @classmethod
    def from_json(cls, data: Any) -> SeriesRecord:
        """The record out of what ``to_json`` made.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(data, dict) or data.keys() != {each.name for each in fields(cls)}:
            raise ValueError("this is no record of a series")
        texts = [value for key, value in data.items() if key != "slices"]
        counted = data["slices"] is None or type(data["slices"]) is int
        if not counted or not all(isinstance(text, str) for text in texts):
            raise ValueError("a record of a series holds something of the wrong type")
        if not (is_uid(data["uid"]) and is_uid(data["study_uid"])):
            raise ValueError("a record of a series has no UID")
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SeriesFilter:
    """Which series of the archive are studies here.

    Attributes:
        modality: such as ``CT``.
        date_from: the first StudyDate, ``20200101``; "" for any.
        date_to: the last StudyDate; "" for any.
        description: what SeriesDescription looks like, with ``*`` and ``?``, in capitals or not; "" for any.
    """

    modality: str = "CT"
    date_from: str = ""
    date_to: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.modality):
            raise ConfigurationError(f"{self.modality!r} is no modality of DICOM;", "CT is one.")
        for date in filter(None, (self.date_from, self.date_to)):
            if not _DATE.fullmatch(date):
                raise ConfigurationError(f"{date!r} is no date;", "write it as DICOM does: 20201231.")
        if self.date_from and self.date_to and self.date_from > self.date_to:
            raise ConfigurationError(f"there is no date from {self.date_from} to {self.date_to}.")

    @property
    def dates(self) -> str:
        """The range of dates as QIDO-RS takes it; "" for any."""
        return f"{self.date_from}-{self.date_to}" if self.date_from or self.date_to else ""

    def matches(self, record: SeriesRecord) -> bool:
        """Whether it is wanted. Archives differ in what they match, so that each answer is looked through."""
        dated = not self.dates or self.date_from <= record.study_date <= (self.date_to or "9")
        # Without a modality the archive is believed, which was asked for one only.
        modality = record.modality in ("", self.modality)
        pattern = translate((self.description or "*").casefold())
        return modality and dated and re.match(pattern, record.description.casefold()) is not None


CT_SERIES = SeriesFilter()


def find_series(
    client: ArchiveClient, wanted: SeriesFilter, known: Iterable[SeriesRecord] = ()
) -> list[SeriesRecord]:
    """The wanted series of the archive.

    Where it offers no search for series, or leaves out what is needed of their studies, its studies are
    searched one by one, which takes a request for each.

    Args:
        client: asks the archive.
        wanted: which series.
        known: those of the last listing. One that is not found is asked for by itself: while an instance
            leaves a series, Orthanc 1.10 leaves the whole series out of its answers to searches for series.

    Raises:
        ArchiveUnreachableError: the archive is down, refuses the login, or is none.
    """
    query = {"Modality": wanted.modality} | ({"StudyDate": wanted.dates} if wanted.dates else {})
    try:
        records = _records(client.series(query))
        enough = all(record.study_uid and (record.study_date or not wanted.dates) for record in records)
    except RefusedRequestError as error:
        _logger.info("%s Its studies are asked one by one.", error)
        enough = False
    if not enough:
        try:
            records = _by_study(client, wanted)
        except RefusedRequestError as error:
            raise no_search(error, client.address.host) from error
    found = {record.uid for record in records}
    records += [now for each in known if each.uid not in found and (now := _by_itself(client, each))]
    return [record for record in records if _is_safe(record) and wanted.matches(record)]


def instances_of(client: ArchiveClient, record: SeriesRecord) -> list[str]:
    """The SOPInstanceUIDs of a series, all of them; empty where there is none, or no such series.

    Raises:
        IncompleteSeriesError: the archive lists fewer than it counts, or one without a valid UID.
        ArchiveError: as ``find_instances``.
    """
    instances = find_instances(client, record)
    unsafe = next((each for each in instances if not is_uid(each)), None)
    if unsafe is not None:
        raise IncompleteSeriesError(
            f"{record.uid}: an instance of it has no valid UID: {unsafe[:100]!r}.",
            "Correct it in the archive.",
        )
    if instances and record.slices is not None and len(instances) < record.slices:
        counted = count_slices(client, record) or 0
        if len(instances) < counted:
            raise IncompleteSeriesError(
                f"{record.uid}: the archive counts {counted} slices and lists {len(instances)} of them.",
                "Ask again; if it stays, the archive limits the results of a search: raise that limit.",
            )
    return instances


def count_slices(client: ArchiveClient, record: SeriesRecord) -> int | None:
    """How many instances the archive counts in a series now; None where it does not say."""
    found = _row_of(client, record)
    return None if found is None else found.slices


def find_instances(client: ArchiveClient, record: SeriesRecord) -> list[str]:
    """The SOPInstanceUIDs of a series; empty where there is none, or no such series.

    Raises:
        ArchiveUnreachableError: the archive is down, refuses the login, or is none.
    """
    try:
        return client.instances(record.study_uid, record.uid)
    except RefusedRequestError as error:
        if error.status != 404:
            raise no_search(error, client.address.host) from error
        return []


def _by_itself(client: ArchiveClient, known: SeriesRecord) -> SeriesRecord | None:
    """What the archive says of a series that it did not list; None only where it has no instance, either."""
    if not find_instances(client, known):
        return None
    row = _row_of(client, known)
    # A search within one study may leave out what is the same for all of its series.
    said = {} if row is None else {name: value for name, value in row.to_json().items() if value}
    return replace(known, **said)


def _row_of(client: ArchiveClient, record: SeriesRecord) -> SeriesRecord | None:
    try:
        rows = client.series({"SeriesInstanceUID": record.uid}, study_uid=record.study_uid)
    except RefusedRequestError:
        return None
    return next((each for each in _records(rows) if each.uid == record.uid), None)


def _by_study(client: ArchiveClient, wanted: SeriesFilter) -> list[SeriesRecord]:
    query = {"ModalitiesInStudy": wanted.modality} | ({"StudyDate": wanted.dates} if wanted.dates else {})
    records: list[SeriesRecord] = []
    for study in client.studies(query):
        uid, modalities = text_of(study, STUDY_UID), text_of(study, _MODALITIES)
        if is_uid(uid) and wanted.modality in (modalities or wanted.modality).split("\\"):
            records += _records(client.series({"Modality": wanted.modality}, study_uid=uid), study)
    return records


def _records(rows: Iterable[Row], study: Mapping[str, Any] = {}) -> list[SeriesRecord]:
    return [
        _record({**study, **{tag: value for tag, value in row.items() if text_of(row, tag)}}) for row in rows
    ]


def _record(row: Row) -> SeriesRecord:
    slices = text_of(row, _SLICES)
    return SeriesRecord(
        uid=text_of(row, SERIES_UID),
        study_uid=text_of(row, STUDY_UID),
        modality=text_of(row, _MODALITY),
        study_date=text_of(row, _STUDY_DATE),
        description=text_of(row, _DESCRIPTION),
        patient=text_of(row, _PATIENT),
        slices=int(slices) if slices.isdecimal() else None,
    )


def _is_safe(record: SeriesRecord) -> bool:
    """Whether its UIDs are UIDs: they become names of files and parts of addresses."""
    safe = is_uid(record.uid) and is_uid(record.study_uid)
    if not safe:
        _logger.warning("a series of the archive is left out, its UID is none: %r", record.uid[:100])
    return safe

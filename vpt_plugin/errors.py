"""Every error that VPTCT raises on purpose.

An error says what it is about, what the cause is, and (in ``hint``) the way out. The server turns each
class into one HTTP status (``apps/vptct/lib/errors.py``); the command line prints ``str(error)``.

::

    VptError
    ├── StudyError                  something is wrong with one study
    │   ├── StudyNotFoundError          no such study
    │   ├── UnreadableStudyError        no CT can be read from it: empty, truncated, no pixel data
    │   ├── NotCTError                  it is something else than a CT
    │   ├── NotHounsfieldError          its values cannot be Hounsfield units: 8-bit, NaN
    │   ├── GeometryError               missing, duplicate or unevenly spaced slices, gantry tilt
    │   ├── TooFewSlicesError           fewer slices than a clip can honestly be made of
    │   ├── StudyTooLargeError          more files or bytes than are accepted for one study
    │   ├── NotReportableError          it has no DICOM instances that a report could refer to
    │   └── UnsuitableStudyError        an answer would mean nothing: no lungs in it, another body part
    ├── ArchiveError                the DICOM archive, or the share, does not hand out what is needed
    │   ├── ArchiveUnreachableError     it, or the folder of studies, is down, too slow, or refuses the login
    │   └── IncompleteSeriesError       fewer slices came than it lists; nothing partial is ever read
    ├── ConfigurationError          something is wrong with what was asked for
    │   ├── UnknownTaskError
    │   ├── UnknownModelError
    │   ├── TaskFileError               a site's own task file; names the line and the field
    │   ├── TokenFileError              a file of access tokens; names the line
    │   ├── ClipShapeError              a clip this network cannot take
    │   ├── NotExplainableError         where this network looks cannot be computed
    │   └── BackendDisagreesError       a backend answers otherwise than torch; torch has to compute
    ├── WeightsError                something is wrong with a file of weights
    │   ├── WeightsNotFoundError        names the file, the URL and the import command
    │   ├── WeightsLayoutError          missing, unexpected or misshapen entries
    │   ├── ChecksumError               the file is not the one that was published or first used
    │   └── ModelCardError              the card of a model, or what is served, cannot be read
    ├── DeviceMemoryError           not even one clip fits into the device's memory
    ├── NotTrainedError             this head was never trained, so it never answers
    ├── LabelError                  a label that does not follow the label contract
    │   └── LabelConflictError          somebody else saved a newer version in the meantime
    ├── LeaseError                  somebody else has the study, or it is not yours
    │   └── WorklistAwayError           who has what cannot be read, written or locked at the moment
    ├── NotScoredError              a strategy needs what no scoring has computed yet
    ├── ManifestError               a manifest of studies that cannot be used
    ├── TrainingError               a training that cannot start or went wrong
    │   ├── DivergedError               its loss or a gradient is no longer a number
    │   ├── CheckpointError             what an interrupted one left is damaged
    │   └── AnotherProcessFailedError   of several processes another one failed, and says so itself
    └── CancelledError              the caller asked to stop
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class VptError(Exception):
    """Base of all errors of VPTCT.

    Args:
        message: what is wrong, naming the thing it is about.
        hint: what the user can do about it; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class StudyError(VptError):
    """Something is wrong with one study.

    Args:
        study: the study's name as the user knows it (an id or a path).
        cause: what is wrong with it.
        hint: what the user can do about it.
    """

    def __init__(self, study: str, cause: str, hint: str = "") -> None:
        super().__init__(f"{study}: {cause}", hint)
        self.study = study
        self.cause = cause


class StudyNotFoundError(StudyError):
    """There is no such study."""


class UnreadableStudyError(StudyError):
    """No CT can be read from it: an empty folder, a truncated file, no pixel data."""


class NotCTError(StudyError):
    """The study is something else than a CT."""


class NotHounsfieldError(StudyError):
    """The values cannot be Hounsfield units: 8-bit grey, colour, NaN."""


class GeometryError(StudyError):
    """Slices are missing, doubled, unevenly spaced or sheared by a gantry tilt."""


class TooFewSlicesError(StudyError):
    """Fewer slices than a clip can be made of without inventing most of it."""


class StudyTooLargeError(StudyError):
    """More files or bytes than are accepted for one study."""


class UnsuitableStudyError(StudyError):
    """An answer would mean nothing: the study shows no lungs, or something else than a chest."""


class NotReportableError(StudyError):
    """It has no DICOM instances that a structured report could refer to."""


class ArchiveError(VptError):
    """The DICOM archive does not hand out what is needed. Later it may."""


class ArchiveUnreachableError(ArchiveError):
    """The archive is down, too slow, refuses the login, or is no DICOMweb; or the studies' folder is away."""


class IncompleteSeriesError(ArchiveError):
    """Fewer slices came than the archive lists. What came is kept and completed; nothing partial is read."""


class ConfigurationError(VptError):
    """Something is wrong with what was asked for."""


class UnknownTaskError(ConfigurationError):
    """No task of that name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"unknown task {name!r};", f"choose from {', '.join(sorted(known))}.")


class UnknownModelError(ConfigurationError):
    """No model of that name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"unknown model {name!r};", f"choose from {', '.join(sorted(known))}.")


class TaskFileError(ConfigurationError):
    """A task file that cannot be used; the message names the file, the line and the field."""


class TokenFileError(ConfigurationError):
    """A file of access tokens that cannot be used; the message names the file and the line."""


class ClipShapeError(ConfigurationError):
    """A clip of a shape that this network cannot take."""


class NotExplainableError(ConfigurationError):
    """Where a network looks cannot be computed for one of this kind."""


class BackendDisagreesError(ConfigurationError):
    """A backend gives other answers than torch for the clips it is checked with; torch has to compute."""


class WeightsError(VptError):
    """Something is wrong with a file of weights."""


class WeightsNotFoundError(WeightsError):
    """The weights are not on this computer."""


class WeightsLayoutError(WeightsError):
    """The file holds other entries than the network needs."""


class ChecksumError(WeightsError):
    """The file is not the one that was published, or not the one that was first used."""


class ModelCardError(WeightsError):
    """The card of a published model, or the record of what is served, cannot be used."""


class DeviceMemoryError(VptError):
    """Not even one clip fits into the free memory of the device."""


class NotTrainedError(VptError):
    """The head of this classifier was never trained, so it never answers."""


class LabelError(VptError):
    """A label that does not follow the label contract."""


class LabelConflictError(LabelError):
    """Somebody else saved a newer version than the one this label was made upon.

    Args:
        message: what happened; names the study and the task.
        hint: the way out.
        expected_version: the version the refused label was made upon; 0 for none.
        newest_version: the version that counts.
        newest: that version as the JSON of the label contract; None where its file is damaged.
        yours: the refused label as the JSON of the label contract; it is set aside, not lost.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        expected_version: int,
        newest_version: int,
        newest: Mapping[str, Any] | None,
        yours: Mapping[str, Any],
    ) -> None:
        super().__init__(message, hint)
        self.expected_version = expected_version
        self.newest_version = newest_version
        self.newest = newest
        self.yours = yours


class LeaseError(VptError):
    """Somebody else has the study in their hands, or it is not in yours."""


class WorklistAwayError(LeaseError):
    """Who has which study cannot be read, written or locked at the moment; it says nothing of any lease."""

    # What a server sends with it.
    headers: Mapping[str, str] = {"Retry-After": "60"}


class NotScoredError(VptError):
    """The strategy needs scores of the studies, and there are none yet."""


class ManifestError(VptError):
    """A manifest of studies that cannot be used."""


class TrainingError(VptError):
    """A training that cannot start or went wrong."""


class DivergedError(TrainingError):
    """The loss, a gradient or a probability is no longer a finite number."""


class CheckpointError(TrainingError):
    """What an interrupted training left on the disk is damaged or cannot be read."""


class AnotherProcessFailedError(TrainingError):
    """Of several processes that train together another one failed; that one says why, this one only ends."""


class CancelledError(VptError):
    """The caller asked to stop."""

    def __init__(self, message: str = "cancelled") -> None:
        super().__init__(message)

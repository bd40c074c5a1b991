"""What the names of the server's errors (docs/server.md, Errors) are to this module: all of it is here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..errors import (
    LabelConflictError,
    LeaseError,
    NoOfferError,
    NotAllowedError,
    NotLoggedInError,
    NotNowError,
    NotOfferedError,
    NotThereError,
    NotTrainedError,
    RefusedError,
    ServerFailedError,
    TooLargeError,
    TrainingRefusedError,
)

_NAMES: Mapping[type[RefusedError], tuple[str, ...]] = {
    # What is wrong with a request or a study is said in the server's words; there is nothing else to do.
    RefusedError: (
        "StudyError", "UnreadableStudyError", "NotCTError", "NotHounsfieldError", "GeometryError",
        "TooFewSlicesError", "UnsuitableStudyError", "ConfigurationError", "TaskFileError", "TokenFileError",
        "ClipShapeError", "LabelError", "ManifestError", "CancelledError", "BadRequestError",
        "WrongFormError", "RequestValidationError", "ForeignHostError", "NotExplainableError",
        "NotReportableError",
    ),
    NotLoggedInError: ("NotLoggedInError",),
    NotAllowedError: ("AccessError", "RoleMissingError", "ForeignOriginError", "ForeignComputerError"),
    NotThereError: ("StudyNotFoundError", "UnknownTaskError", "UnknownModelError", "NothingThereError"),
    NotOfferedError: ("NotOfferedError",),
    TooLargeError: ("StudyTooLargeError", "TooLargeError", "SessionsFullError"),
    NotNowError: (
        "ArchiveError", "ArchiveUnreachableError", "IncompleteSeriesError", "DeviceMemoryError", "BusyError",
        "WorklistAwayError", "TooManyLoginsError", "LoginServiceError",
    ),
    # 503, but to ask again changes nothing: somebody has to see to it.
    ServerFailedError: (
        "WeightsError", "WeightsNotFoundError", "WeightsLayoutError", "ChecksumError", "ModelCardError",
        "VptError", "UnexpectedError", "FullDiskError", "BackendDisagreesError",
    ),
    NotTrainedError: ("NotTrainedError",),
    LabelConflictError: ("LabelConflictError",),
    LeaseError: ("LeaseError",),
    NoOfferError: ("NotScoredError",),
    TrainingRefusedError: (
        "TrainingError", "DivergedError", "CheckpointError", "AnotherProcessFailedError",
    ),
}  # fmt: skip
# No name of ours: a path or a method that there is not.
BY_STATUS = frozenset({"HTTPException"})
KINDS: Mapping[str, type[RefusedError]] = MappingProxyType(
    {name: kind for kind, names in _NAMES.items() for name in names}
)


def kind_of(name: str, conflict: type[RefusedError]) -> type[RefusedError] | None:
    """The exception for a name of the server; None for one that is not known, or that says nothing.

    Args:
        name: as the answer has it.
        conflict: what a conflict is to this request.
    """
    kind = KINDS.get(name)
    # Who asks for a study and holds too many is offered none; all others do not hold the one in question.
    return conflict if kind is LeaseError and conflict is NoOfferError else kind

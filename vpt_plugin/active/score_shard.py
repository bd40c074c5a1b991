"""Shard: the scores of some studies in one file; there whole or not at all, and known when it is damaged.

An ``npz``, whose parts carry a CRC-32 each: ``about`` (the JSON of what is no number), ``embeddings`` and
``key_embeddings`` (float16, which is finer than what two runs on different devices agree on),
``probabilities`` and ``disagreement`` (float64). What has no trained head has the first two alone.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.durable import write_new

_LARGEST = float(np.finfo(np.float16).max)
# Of a row, beside its arrays.
_TOLD = ("study", "identity", "clips", "study_date", "synthetic")


class ShardError(Exception):
    """The file is damaged."""


@dataclass(frozen=True)
class StudyScore:
    """What was computed for one study.

    Attributes:
        study: its id.
        identity: what tells, without reading it, that it is still the same.
        embedding: (features,), the mean over the clips of the backbone's features.
        key_embedding: (features,), of the clip that speaks most for a finding; without a trained head
            ``embedding`` itself.
        probabilities: (findings,), calibrated; None without a trained head.
        disagreement: (findings,), standard deviation of the clips' probabilities; None as above.
        clips: how many clips cover it.
        study_date: as in DICOM, ``20201231``; "" where unknown.
        synthetic: it is a phantom.
    """

    study: str
    identity: str
    embedding: NDArray[np.floating[Any]]
    key_embedding: NDArray[np.floating[Any]]
    probabilities: NDArray[np.float64] | None = None
    disagreement: NDArray[np.float64] | None = None
    clips: int = 1
    study_date: str = ""
    synthetic: bool = False


@dataclass(frozen=True)
class FailedStudy:
    """A study that gave nothing.

    Attributes:
        study: its id.
        identity: what it was, as of ``StudyScore``.
        why: for people, without the study's name.
        again: the reason may pass: chance may choose it, and the next scoring tries it again.
        again_at: with ``again``: seconds since 1970 from which on it is worth a scoring of its own.
        tries: how often in a row it gave nothing.
    """

    study: str
    identity: str
    why: str
    again: bool = False
    again_at: float = 0.0
    tries: int = 1


@dataclass(frozen=True)
class Shard:
    """Some studies.

    Attributes:
        scored: those with scores; all of one classifier.
        failed: those without.
    """

    scored: tuple[StudyScore, ...] = ()
    failed: tuple[FailedStudy, ...] = ()

    def write(self, path: Path) -> None:
        """Write a new file that is on the disk when this returns.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        about = {
            "scored": [{name: getattr(each, name) for name in _TOLD} for each in self.scored],
            "failed": [vars(each) for each in self.failed],
        }
        arrays: dict[str, NDArray[Any]] = {"about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)}
        if self.scored:
            arrays["embeddings"] = _small([each.embedding for each in self.scored])
        answered = [each for each in self.scored if each.probabilities is not None]
        if answered:
            arrays["key_embeddings"] = _small([each.key_embedding for each in answered])
            arrays["probabilities"] = np.array([each.probabilities for each in answered], dtype=np.float64)
            arrays["disagreement"] = np.array([each.disagreement for each in answered], dtype=np.float64)
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        write_new(path, file.getvalue())

    @classmethod
    def read(cls, path: Path) -> Shard:
        """The studies in a file, all of it checked.

        Raises:
            FileNotFoundError: there is none.
            ShardError: it is damaged.
        """
        with _checked(path) as file:
            about = json.loads(file["about"].tobytes())
            failed = tuple(FailedStudy(**each) for each in about["failed"])
            return cls(_rows(about["scored"], file), failed)


@dataclass(frozen=True)
class ShardStudies:
    """Which studies are in a file.

    Attributes:
        scored: ids and identities of those with scores.
        failed: those without.
    """

    scored: Mapping[str, str]
    failed: tuple[FailedStudy, ...]

    @classmethod
    def read(cls, path: Path) -> ShardStudies:
        """The studies in a file; their arrays are neither read nor checked.

        Raises:
            FileNotFoundError: there is none.
            ShardError: it is damaged.
        """
        with _checked(path) as file:
            about = json.loads(file["about"].tobytes())
            scored = {each["study"]: each["identity"] for each in about["scored"]}
            return cls(scored, tuple(FailedStudy(**each) for each in about["failed"]))


@contextmanager
def _checked(path: Path) -> Iterator[Any]:
    """The open file; whatever is wrong with it is a ``ShardError``."""
    try:
        # Opened here: numpy leaves a file open that is damaged.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ShardError(str(error) or type(error).__name__) from error


def _small(rows: Sequence[NDArray[np.floating[Any]]]) -> NDArray[np.float16]:
    # Beyond the range of float16 nothing is told apart any more, but an infinity would spoil every distance.
    return np.asarray(np.clip(np.stack(rows), -_LARGEST, _LARGEST), dtype=np.float16)


def _rows(told: list[dict[str, Any]], file: Any) -> tuple[StudyScore, ...]:
    """The studies with their arrays.

    Raises:
        ValueError, KeyError, TypeError: they do not fit together.
    """
    if not told:
        return ()
    embeddings = file["embeddings"]
    if "probabilities" not in file:
        return tuple(
            StudyScore(embedding=own, key_embedding=own, **each)
            for each, own in zip(told, embeddings, strict=True)
        )
    columns = (embeddings, file["key_embeddings"], file["probabilities"], file["disagreement"])
    return tuple(
        StudyScore(embedding=own, key_embedding=key, probabilities=said, disagreement=spread, **each)
        for each, own, key, said, spread in zip(told, *columns, strict=True)
    )

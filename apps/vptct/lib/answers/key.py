"""AnswerKey: what makes two questions equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vpt_plugin.data.study_files import file_places
from vpt_plugin.digest import file_sha256
from vpt_plugin.errors import StudyNotFoundError
from vpt_plugin.models.card import ModelCard

from .wish import Wish


@dataclass(frozen=True)
class AnswerKey:
    """A study, and the version that is asked about it.

    On which device, in which precision and with which task a server answers does not change while it runs,
    so that these are not in the key. What a version's card says is: it may come to allow another precision.

    Attributes:
        study: what messages call it: an error is told to all who asked.
        content: tells one content of the study from another.
        task, model: names of what is asked.
        version: digest of the version's card, in which are its number and the checksum of its weights.
        anyway: whether it is answered even where an answer would be meaningless.
        explain: the findings whose heat maps are asked for.
        others: the same digests of other versions that are asked, too.
    """

    study: str
    content: str
    task: str
    model: str
    version: str
    anyway: bool = False
    explain: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, study: str, content: str, card: ModelCard) -> AnswerKey:
        """The key of a question to this version."""
        return cls(study, content, card.task, card.model, digest_of(card))

    def wishing(self, wish: Wish, others: Sequence[ModelCard]) -> AnswerKey:
        """The key of the same question with what is asked for beside the probabilities.

        The error rate is not in it: from one answer follow the decisions at all of them.

        Args:
            wish: what is asked for.
            others: cards of the other versions that are asked.
        """
        digests = tuple(digest_of(card) for card in others)
        return replace(self, anyway=wish.anyway, explain=wish.explain, others=digests)

    @property
    def plain(self) -> AnswerKey:
        """The key of the question for the probabilities alone."""
        return replace(self, explain=(), others=())

    def asks(self, card: ModelCard) -> bool:
        """Whether this very version is asked."""
        return self.version == digest_of(card)


def digest_of(card: ModelCard) -> str:
    """What tells a version from others, and from itself before more was measured of it."""
    return _digest(card.to_json())


def content_of(path: Path, study: str) -> str:
    """What tells the files of a study from others, and from themselves before they were changed.

    Their places, sizes and times of change; they are not read.

    Args:
        path: of a file or folder that stays where it is.
        study: its name, for messages.

    Raises:
        StudyNotFoundError: they cannot be looked at: the study goes away at this moment.
    """
    try:
        return _digest(file_places(path))
    except OSError as error:
        raise StudyNotFoundError(
            study,
            f"its files cannot be read: {error.strerror}.",
            "Ask again; it may have been moved just now.",
        ) from error


def content_of_upload(path: Path) -> str:
    """The same of an uploaded file, which lies elsewhere each time: the digest of its bytes.

    150 MiB take a tenth of a second, which is little beside reading them as a study.
    """
    return file_sha256(path)


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

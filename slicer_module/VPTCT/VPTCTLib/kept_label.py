"""KeptLabel: a label that waits for its server, and its file on this computer (``vptct.kept-label/1``)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .contract.fields import Fields
from .contract.label import StudyLabel, read_label
from .errors import ContractError, OutboxError

SCHEMA = "vptct.kept-label/1"
_ENDING = ".json"


@dataclass(frozen=True)
class KeptLabel:
    """A label that waits.

    Attributes:
        id: of its file; sorted, the ids are in the order in which labels were kept.
        server: the address of the server that it is for.
        reader: who was logged in; it is sent under no other login. "" on a server without login.
        study: its id.
        label: what the reader said; ``created`` is when.
        if_version: upon which version it is meant; None where nobody knew, until it is first sent.
        refused: why the server refused it for good, in its words; "" while it waits.
        server_id: ``ServerInfo.server_id`` of the server, by which it is known under another address, and
            another one at its address; "" where it told none.
    """

    id: str
    server: str
    reader: str
    study: str
    label: StudyLabel
    if_version: int | None
    refused: str = ""
    server_id: str = ""

    def follows(self, other: KeptLabel) -> bool:
        """Whether it was said after the other one, by the same reader of the same, upon the same version."""
        mine, others = self._subject(), other._subject()
        same = mine == others and self.is_for(other.server, other.server_id)
        return same and self.if_version == other.if_version and self.id > other.id

    def is_for(self, server: str, server_id: str) -> bool:
        """Whether it is for this server: at one address there may be two, one after the other, whose studies
        have the same names.

        Args:
            server: its address.
            server_id: as ``ServerInfo`` has it; "" where it tells none, and the address has to do.
        """
        is_another = self.server_id and server_id and self.server_id != server_id
        return self.server == server and not is_another

    def _subject(self) -> tuple[str, str, str]:
        return (self.reader, self.study, self.label.task)


class KeptLabelFiles:
    """A file for each. One that was written is on the disk, whole, when the writing returns.

    Args:
        folder: for nothing else; it is made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_all(self) -> tuple[list[KeptLabel], list[str]]:
        """All that are kept, in their order, and what is wrong with files that cannot be read.

        Raises:
            OutboxError: the folder cannot be read.
        """
        found, problems = [], []
        with _told(self.folder):
            paths = sorted(self.folder.glob(f"*{_ENDING}")) if self.folder.is_dir() else []
        for path in paths:
            try:
                found.append(_kept(path.name[: -len(_ENDING)], json.loads(path.read_bytes())))
            except FileNotFoundError:
                continue  # Another process has sent it.
            except (OSError, ValueError, ContractError) as error:
                problems.append(f"{path}: {error}")
        return found, problems

    def write(self, kept: KeptLabel) -> None:
        """Keep a label, or what has changed of it.

        Raises:
            OutboxError: the disk is full, or the folder cannot be written.
        """
        content = json.dumps(_to_json(kept), indent=1, allow_nan=False).encode()
        path = self.folder / f"{kept.id}{_ENDING}"
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".unfinished")
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            _sync(self.folder)

    def remove(self, kept: KeptLabel) -> None:
        """Keep a label no longer.

        Raises:
            OutboxError: the folder cannot be written.
        """
        with _told(self.folder):
            (self.folder / f"{kept.id}{_ENDING}").unlink(missing_ok=True)
            _sync(self.folder)

    def refuse(self, kept: KeptLabel, why: str) -> KeptLabel:
        """Note that the server refused a label for good. Raises: as ``write``."""
        refused = replace(kept, refused=why)
        self.write(refused)
        return refused


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutboxError(
            f"labels cannot be kept in {folder}: {error}.", "Make room, or choose another folder."
        ) from error


def _sync(folder: Path) -> None:
    """Have the folder's own entries on the disk. Windows does that by itself, and knows no such call."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _to_json(kept: KeptLabel) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "server": kept.server,
        "reader": kept.reader,
        "study": kept.study,
        "label": kept.label.to_json(),
        "if_version": kept.if_version,
        "refused": kept.refused,
        "server_id": kept.server_id,
    }


def _kept(name: str, data: object) -> KeptLabel:
    fields = Fields.of_schema(data, SCHEMA)
    return KeptLabel(
        id=name,
        server=fields.text("server"),
        reader=fields.text("reader"),
        study=fields.text("study"),
        label=read_label(fields.inner("label").data),
        if_version=fields.maybe(fields.whole, "if_version"),
        refused=fields.text("refused"),
        server_id=fields.optional(fields.text, "server_id") or "",
    )

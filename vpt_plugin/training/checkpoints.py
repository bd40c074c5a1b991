"""Checkpoints: what a training knows after an epoch, kept on the disk so that an interrupted one goes on.

A checkpoint is one file: a line with the name of the format and the SHA-256 of all that follows, then what
``torch.save`` wrote. It is there whole or not at all, and it is read with ``weights_only``: a file can hold
tensors, numbers, words, lists and dictionaries, never code.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from vpt_plugin.durable import make_folder, publish_file
from vpt_plugin.errors import CheckpointError

_logger = logging.getLogger(__name__)
_FORMAT = b"vptct.checkpoint/1 "
_HEADER_BYTES = len(_FORMAT) + hashlib.sha256().digest_size * 2 + 1
_NAME = re.compile(r"epoch-(\d+)\.ckpt")
# The last one, and the one before in case the last is damaged.
_KEPT = 2


class Checkpoints:
    """The checkpoints of one round of a training, the last two of them kept.

    Args:
        folder: of this round alone; need not be there yet.
        told: what the user should know of lost checkpoints.
    """

    def __init__(self, folder: Path, told: Callable[[str], None]) -> None:
        self._folder = folder
        self._told = told
        self._failed = False

    def save(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Keep the state after an epoch. Where the disk refuses, that is told and the training goes on."""
        try:
            make_folder(self._folder)
            write_state(self._place(epoch), state)
        except OSError as error:
            self._tell_once(epoch, error)
            return
        self._failed = False
        for old in self._epochs()[:-_KEPT]:
            _remove(self._place(old))

    def newest(self) -> dict[str, Any] | None:
        """The last state that can be read; None where there is none. Damaged ones are told and removed."""
        for epoch in reversed(self._epochs()):
            try:
                return read_state(self._place(epoch))
            except CheckpointError as error:
                self._told(f"{error.message} {self._before(epoch)}")
                _remove(self._place(epoch))
        return None

    def clear(self) -> None:
        """Remove them all."""
        for epoch in self._epochs():
            _remove(self._place(epoch))

    def _place(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch:04d}.ckpt"

    def _epochs(self) -> list[int]:
        """Those of which there is a checkpoint, ascending."""
        if not self._folder.is_dir():
            return []
        matches = (_NAME.fullmatch(each.name) for each in self._folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def _before(self, epoch: int) -> str:
        earlier = [each for each in self._epochs() if each < epoch]
        return f"The one after epoch {earlier[-1]} is taken." if earlier else "The round begins again."

    def _tell_once(self, epoch: int, error: OSError) -> None:
        # Said again after every epoch, it would bury everything else that is said.
        if not self._failed:
            there = self._epochs()
            back = f"goes on after epoch {there[-1]}" if there else "begins again"
            self._told(
                f"the checkpoint after epoch {epoch} cannot be written: {error.strerror}. The training "
                f"continues; should it be interrupted, it {back}. Make room on that disk."
            )
        self._failed = True


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers, words, lists and dictionaries, in place of what is there; durable.

    Raises:
        OSError: the disk is full, the folder is not writable; what was there stays as it is.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with unfinished.open("xb") as file:
            file.write(b" " * _HEADER_BYTES)
            hashed = _Hashed(file)
            torch.save(dict(state), cast("IO[bytes]", hashed))
            if hashed.failure is not None:
                raise hashed.failure
            file.seek(0)
            file.write(_header(hashed.hash.hexdigest()))
        publish_file(unfinished, path)
    finally:
        _remove(unfinished)


def read_state(path: Path) -> dict[str, Any]:
    """What ``write_state`` wrote; tensors are on the CPU.

    Raises:
        CheckpointError: it is damaged, or cannot be read.
    """
    # Notes go out over HTTP, too: nobody need know where on this computer the folder of models lies.
    called = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            if header != _header(_digest(file)):
                raise CheckpointError(f"{called}: the checkpoint is damaged.")
            file.seek(_HEADER_BYTES)
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{called}: the checkpoint cannot be read: {error.strerror}.") from error
    except (RuntimeError, pickle.UnpicklingError) as error:
        # torch's own words advise to let it run code.
        raise CheckpointError(f"{called}: the checkpoint holds more than numbers and words.") from error
    return state


class _Hashed:
    """Writes into a file and hashes what goes by.

    An error is kept, not raised: torch calls ``write`` from C++, where a full disk would end in a message
    about its own source code.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.failure is None:
            try:
                self._file.write(view)
                self.hash.update(view)
            except OSError as error:
                self.failure = error
        return len(view)

    def flush(self) -> None:
        """The file is flushed when it is closed."""


def _header(digest: str) -> bytes:
    return _FORMAT + digest.encode() + b"\n"


def _digest(file: BinaryIO) -> str:
    """SHA-256 of the rest of the file."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _remove(path: Path) -> None:
    # What matters is written: what cannot be removed must not end the training. The run is swept as a whole.
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _logger.warning("%s is left over and cannot be removed: %s", os.fspath(path), error)

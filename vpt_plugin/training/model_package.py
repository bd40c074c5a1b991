"""A version on its way to another computer: a folder, or a zip file with one folder in it.

It holds what a version of the model store holds: ``weights.safetensors`` and ``card.json``, and, where the
version has it, ``typicality-<hash>.safetensors``: what its training studies were like, of which none can be
told. Of what comes from elsewhere only these are read, each under its own name and up to a size, so nothing
is ever written outside of the folder that was meant, and safetensors cannot run code.
"""

from __future__ import annotations

import io
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from vpt_plugin.durable import make_folder, publish_folder, write_new
from vpt_plugin.errors import ConfigurationError, ModelCardError, WeightsError
from vpt_plugin.inference.typicality import FeatureReference, reference_file
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.tasks import is_name
from vpt_plugin.training.version_folder import CARD, WEIGHTS, read_card

# The largest network has weights of half a gigabyte; a card with the history of a long training a megabyte.
_MOST_WEIGHTS_BYTES, _MOST_BYTES = 4 << 30, 64 << 20
_CHUNK_BYTES = 1 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def write_package(version: Path, into: Path) -> None:
    """Write a version, whole or not at all, into a zip file or a new folder.

    Args:
        version: folder of the version.
        into: a zip file if it is called so, else a folder.

    Raises:
        ConfigurationError: it is there already.
        OSError: the disk is full, the folder is not writable.
    """
    into = into.absolute()
    try:
        if into.suffix.lower() == ".zip":
            make_folder(into.parent)
            write_new(into, _zipped(version, into.stem))
        else:
            _copy(version, into)
    except FileExistsError as error:
        raise ConfigurationError(f"{into} is there already;", "choose another name.") from error


def take_package(source: Path, into: Path, *, reference_needed: bool = True) -> ModelCard:
    """Take card and weights out of what ``write_package`` wrote, or out of a folder of a version.

    Whether the weights are those of the card is not looked at.

    Args:
        source: the zip file or the folder.
        into: an empty folder.
        reference_needed: else, where what its training studies were like is lost, it comes without.

    Returns:
        The card.

    Raises:
        ModelCardError: no such package, or damaged; or its names could lead elsewhere.
        UnknownModelError: this VPTCT does not have the network.
        WeightsError: what its training studies were like is not there, damaged, or not that of the card.
        OSError: the disk is full.
    """
    card = _take(source, into)
    try:
        FeatureReference.read(into, card.typicality_sha256)
    except WeightsError:
        if reference_needed:
            raise
        (into / reference_file(card.typicality_sha256)).unlink(missing_ok=True)
        card = replace(card, typicality_sha256="")
    get_model(card.model)
    # The task becomes the name of a folder.
    names = (card.task, *card.findings)
    if not all(isinstance(name, str) and is_name(name) for name in names):
        told = ", ".join(repr(name)[:50] for name in names)
        raise ModelCardError(f"{source}: {told} are no names of a task and its findings.", "Export it again.")
    return card


def _take(source: Path, into: Path) -> ModelCard:
    if source.is_dir():
        return _take_each(source, into, lambda name: _copied(source / name, into / name))
    if not source.is_file():
        raise _no_package(source, "it is not there")
    try:
        with zipfile.ZipFile(source) as packed:
            beside = _card_in(source, packed)

            def take(name: str) -> bool:
                return _unpacked(packed, str(beside.with_name(name)), into / name)

            return _take_each(source, into, take)
    except _DAMAGE as error:
        raise _no_package(source, f"it is damaged or no zip file ({error})") from error


def _take_each(source: Path, into: Path, take: Callable[[str], bool]) -> ModelCard:
    """The card and what it names; ``take`` says whether there is a file of this name."""
    if not take(CARD):
        raise _no_package(source, f"there is no {CARD} in it")
    if not take(WEIGHTS):
        raise _no_package(source, f"there is no {WEIGHTS} beside the {CARD}")
    card = read_card(into / CARD, called=f"{source}: {CARD}")
    if card.typicality_sha256:
        take(reference_file(card.typicality_sha256))
    return card


def _copied(path: Path, to: Path) -> bool:
    if path.is_file():
        shutil.copyfile(path, to)
    return path.is_file()


def _zipped(version: Path, name: str) -> bytes:
    """Weights do not shrink, so they are stored as they are."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as packed:
        for file in _files_of(version):
            packed.write(version / file, f"{name}/{file}")
    return content.getvalue()


def _copy(version: Path, into: Path) -> None:
    if into.exists():
        raise FileExistsError
    make_folder(into.parent)
    unfinished = into.parent / f".unfinished-{uuid.uuid4().hex}"
    try:
        unfinished.mkdir()
        for file in _files_of(version):
            shutil.copyfile(version / file, unfinished / file)
        publish_folder(unfinished, into)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _files_of(version: Path) -> list[str]:
    """What goes along of a version."""
    sha256 = read_card(version / CARD).typicality_sha256
    return [CARD, WEIGHTS, *([reference_file(sha256)] if sha256 else [])]


def _card_in(source: Path, packed: zipfile.ZipFile) -> PurePosixPath:
    """Where the card is; what belongs to it lies beside."""
    cards = [each for name in packed.namelist() if (each := PurePosixPath(name)).name == CARD]
    if len(cards) != 1:
        raise _no_package(source, f"there {'is no' if not cards else 'is more than one'} {CARD} in it")
    return cards[0]


def _unpacked(packed: zipfile.ZipFile, member: str, to: Path) -> bool:
    if member not in packed.namelist():
        return False
    left = most = _MOST_WEIGHTS_BYTES if to.name == WEIGHTS else _MOST_BYTES
    with packed.open(member) as file, to.open("xb") as copy:
        # What a zip file says of its sizes may be wrong; what comes out is counted.
        while block := file.read(_CHUNK_BYTES):
            left -= len(block)
            if left < 0:
                raise ValueError(f"its {to.name} is larger than {most >> 20} MiB")
            copy.write(block)
    return True


def _no_package(source: Path, cause: str) -> ModelCardError:
    return ModelCardError(
        f"{source} holds no model: {cause}.",
        "Give a file or folder that `vpt versions export` wrote, or the folder v0001 of a version.",
    )

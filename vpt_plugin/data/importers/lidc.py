"""LIDC-IDRI: what four readers outlined, an XML per series, as a label of the task ``nodule``.

Armato et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative (IDRI),
Medical Physics 38:915-931 (2011); doi 10.7937/K9/TCIA.2015.LO9QL9SX. Each reader drew a contour around
every nodule of 3 mm or more on every slice that shows it, marked a smaller nodule by one point, and pointed
at what is none. The readers are not the same from one series to the next, and have no names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import numpy as np

from vpt_plugin.ct.dicom_headers import SliceHeader
from vpt_plugin.data.importers.slice_ranges import marked_ranges_mm
from vpt_plugin.errors import LabelError
from vpt_plugin.labels import FindingLabel, StudyLabel

ANNOTATOR = "LIDC-IDRI"
TASK, FINDING = "nodule", "lung_nodule"
MIN_READERS = 3
# A series has four readings, but LIDC-IDRI-0700 three and LIDC-IDRI-0566 eight. Those eight are two panels of
# four in one XML, nothing says who is of which, and three of eight is not three of four. (As others
# counted them in TCIA's archive of all the XML, LIDC-XML-only.zip.)
PANEL_READERS = 4
# The largest of the data set is below 4 MB.
_MAX_BYTES = 50 << 20
_CHUNK_BYTES = 1 << 15
# imageZposition is written with one to six decimals, and so is the position in the DICOM file.
_AGREE_MM = 0.1


@dataclass(frozen=True)
class LidcReading:
    """What the readers of one series said.

    Attributes:
        path: the XML.
        series_uid: SeriesInstanceUID of the CT.
        readers: per reader, the SOPInstanceUIDs of the slices on which there is a nodule of 3 mm or more.
        stated_z_mm: patient z of these slices as the XML has it, by SOPInstanceUID.
    """

    path: Path
    series_uid: str
    readers: tuple[frozenset[str], ...]
    stated_z_mm: Mapping[str, float]

    def slices(self, min_readers: int) -> frozenset[str]:
        """SOPInstanceUIDs of the slices on which at least so many readers saw a nodule."""
        return frozenset(
            uid for uid in self.stated_z_mm if sum(uid in reader for reader in self.readers) >= min_readers
        )

    def says_the_same_as(self, other: LidcReading) -> bool:
        """Whether as many readers marked the same slices of the same series, in whatever order they come."""
        mine, theirs = (sorted(map(sorted, each.readers)) for each in (self, other))
        return (self.series_uid, mine) == (other.series_uid, theirs)


def read_lidc(path: Path) -> LidcReading | None:
    """What the readers of one series said; None for a chest radiograph, of which the data set has some, too.

    A nodule of 3 mm or more is one with a contour of more than one point; a nodule may be in several
    contours, and its holes (``inclusion`` FALSE) mark no slice.

    Raises:
        LabelError: it is no reading of LIDC-IDRI, is damaged, or declares entities; names the file.
    """
    root = _parse(path)
    if _name(root) == "IdriReadMessage":
        return None
    header = _header(root, path)
    stated_z_mm: dict[str, float] = {}
    readers = [
        frozenset(_marked(session, stated_z_mm, path)) for session in _children(root, "readingSession")
    ]
    return LidcReading(path, _text(header, "SeriesInstanceUid", path), tuple(readers), stated_z_mm)


def lidc_series(path: Path) -> str | None:
    """The SeriesInstanceUID that a reading is of; None for a chest radiograph. Only its header is read.

    Raises:
        LabelError: as ``read_lidc``, as far as the header shows it.
    """
    root = _parse(path, until="ResponseHeader")
    if _name(root) == "IdriReadMessage":
        return None
    return _text(_header(root, path), "SeriesInstanceUid", path)


def lidc_label(
    reading: LidcReading, slices: Iterable[SliceHeader], *, min_readers: int = MIN_READERS
) -> StudyLabel:
    """The label of a study: present on the slices on which at least ``min_readers`` saw a nodule.

    Slices are found by SOPInstanceUID alone; where they lie is what their DICOM files say.

    Args:
        reading: of the series.
        slices: of the study, of whatever series.
        min_readers: how many must agree on a slice; 3 is the paper's.

    Raises:
        LabelError: the study does not hold the series, or not the slices that were marked; or the series was
            read by fewer than ``min_readers``, or by more than one panel.
        ValueError: ``min_readers`` is below 1.
    """
    if min_readers < 1:
        raise ValueError(f"at least one reader must have seen it, not {min_readers}")
    if len(reading.readers) < min_readers:
        raise LabelError(
            f"{reading.path}: it holds {len(reading.readers)} of the at least {min_readers} readings wanted.",
            "Ask for fewer readers, or leave this XML out.",
        )
    if len(reading.readers) > PANEL_READERS:
        raise LabelError(
            f"{reading.path}: it holds {len(reading.readers)} readings, of more than one panel of "
            f"{PANEL_READERS}; which of them are to agree is not said.",
            "Leave this XML out.",
        )
    z_mm = _slice_z_mm(reading, slices)
    marked = reading.slices(min_readers)
    ranges = marked_ranges_mm(z_mm, marked)
    return StudyLabel(
        task=TASK,
        findings={FINDING: FindingLabel("present", ranges) if ranges else FindingLabel("absent")},
        annotator=ANNOTATOR,
        series_uid=reading.series_uid,
        comment=f"LIDC-IDRI: slices on which at least {min_readers} of {len(reading.readers)} readers "
        "outlined a nodule of 3 mm or more",
    )


def z_disagreement_mm(reading: LidcReading, slices: Iterable[SliceHeader]) -> float:
    """How far the XML's own positions of the marked slices lie beside those of the DICOM files, at most.

    A tenth of a millimetre is rounding, and taken for 0; beyond it somebody changed one of the two.
    """
    there = {each.instance_uid: float(each.position_mm[2]) for each in slices}
    beside = [abs(z - there[uid]) for uid, z in reading.stated_z_mm.items() if uid in there]
    return max((mm for mm in beside if mm > _AGREE_MM), default=0.0)


def position_note(reading: LidcReading, slices: Iterable[SliceHeader]) -> str:
    """What is to be said where XML and DICOM files differ in where slices lie; "" where they do not."""
    beside_mm = z_disagreement_mm(reading, slices)
    if not beside_mm:
        return ""
    return (
        f"{reading.path.name} says that its slices lie up to {beside_mm:.1f} mm elsewhere than the DICOM "
        "files do; the DICOM files are believed."
    )


def _slice_z_mm(reading: LidcReading, slices: Iterable[SliceHeader]) -> dict[str, float]:
    """Patient z of the middle of every slice of the series, by SOPInstanceUID."""
    everything = list(slices)
    series = [each for each in everything if each.series_uid == reading.series_uid]
    if not series:
        held = sorted({each.series_uid for each in everything})
        raise LabelError(
            f"{reading.path}: it is of the series {reading.series_uid}, which is not there;",
            f"the study holds {', '.join(held[:3]) or 'no CT series'}. Give the XML of that series.",
        )
    if abs(series[0].normal[2]) < np.abs(series[0].normal).max():
        raise LabelError(f"{reading.path}: the series {reading.series_uid} is not axial.")
    z_mm = {each.instance_uid: float(each.centre_mm[2]) for each in series}
    if missing := sorted(set(reading.stated_z_mm) - set(z_mm)):
        raise LabelError(
            f"{reading.path}: {len(missing)} of {len(reading.stated_z_mm)} marked slices are not in the "
            f"series, the first {missing[0]};",
            "the series is incomplete, or its UIDs were changed: get it from TCIA again.",
        )
    return z_mm


def _marked(session: ElementTree.Element, stated_z_mm: dict[str, float], path: Path) -> Iterator[str]:
    """The slices on which a reader outlined a nodule of 3 mm or more; their z goes to ``stated_z_mm``."""
    for nodule in _children(session, "unblindedReadNodule"):
        contours = list(_children(nodule, "roi"))
        if not any(len(list(_children(contour, "edgeMap"))) > 1 for contour in contours):
            continue
        for contour in contours:
            if _text(contour, "inclusion", path).upper() == "TRUE":
                uid = _text(contour, "imageSOP_UID", path)
                stated_z_mm[uid] = _number(contour, "imageZposition", path)
                yield uid


def _header(root: ElementTree.Element, path: Path) -> ElementTree.Element:
    if _name(root) != "LidcReadMessage":
        raise LabelError(f"{path}: this is no reading of LIDC-IDRI: it begins with {_name(root)[:50]!r}.")
    return next(_children(root, "ResponseHeader"), root)


class _ReadEnoughError(Exception):
    """The element that was waited for is complete."""


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of a document that declares nothing.

    Without a document type there are no entities: none that grow into gigabytes, none that name files.

    Args:
        until: stop when an element of that name ends; "" for the whole document.
    """

    def __init__(self, until: str = "") -> None:
        super().__init__()
        self._until = until
        self.root: ElementTree.Element | None = None

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        """Called by the parser where an element begins."""
        element = super().start(tag, attrs)
        if self.root is None:
            self.root = element
        return element

    def end(self, tag: str, /) -> ElementTree.Element:
        """Called by the parser where an element ends."""
        element = super().end(tag)
        if self._until and _name(element) == self._until:
            raise _ReadEnoughError
        return element

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        """Called by the parser before anything is declared."""
        raise LabelError("it declares a document type, which no reading of LIDC-IDRI does.")


def _parse(path: Path, until: str = "") -> ElementTree.Element:
    builder = _Builder(until)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise LabelError(
                f"{path}: it has more than {_MAX_BYTES >> 20} MiB, as no reading of LIDC-IDRI has."
            )
        parser = ElementTree.XMLParser(target=builder)  # noqa: S314  see _Builder
        with path.open("rb") as file, suppress(_ReadEnoughError):
            while chunk := file.read(_CHUNK_BYTES):
                parser.feed(chunk)
            parser.close()
    except LabelError as error:
        message = error.message.removeprefix(f"{path}: ")
        raise LabelError(f"{path}: {message}", "Get it from TCIA again.") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise LabelError(f"{path}: this is no XML: {error}.", "Get it from TCIA again.") from error
    except OSError as error:
        raise LabelError(f"{path}: cannot be read: {error}.") from error
    assert builder.root is not None  # or it would be no XML
    return builder.root


def _name(element: ElementTree.Element) -> str:
    """Without the namespace, which is not the same in all the files."""
    return element.tag.rpartition("}")[2]


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element if _name(child) == name)


def _text(element: ElementTree.Element, name: str, path: Path) -> str:
    text = next((child.text or "" for child in _children(element, name)), "").strip()
    if not text:
        raise LabelError(f"{path}: a {_name(element)} has no {name}.", "Get it from TCIA again.")
    return text


def _number(element: ElementTree.Element, name: str, path: Path) -> float:
    text = _text(element, name, path)
    try:
        return float(text)
    except ValueError:
        raise LabelError(f"{path}: {name} {text[:50]!r} is no number.", "Get it from TCIA again.") from None

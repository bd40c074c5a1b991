"""What the header of a series says of how, and of what, it was taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StudyHeader:
    """What a DICOM series says of itself; "" and None are what it does not say.

    Nothing of the patient is in it. It is only as true as whoever filled it in.

    Attributes:
        body_part: BodyPartExamined: ``CHEST``.
        protocol: ProtocolName, as the site calls it.
        kernel: ConvolutionKernel, its parts joined by a backslash: ``B30f``.
        contrast_agent: ContrastBolusAgent.
        slice_thickness_mm: SliceThickness.
        manufacturer: Manufacturer.
        model: ManufacturerModelName, the scanner.
    """

    body_part: str = ""
    protocol: str = ""
    kernel: str = ""
    contrast_agent: str = ""
    slice_thickness_mm: float | None = None
    manufacturer: str = ""
    model: str = ""

"""Pictures for a page: a third of the bytes, with the greys of a CT and the colours of a panel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

_GREYS, _COLOURS = 44, 48
# Between the channels of what counts as a colour.
_COLOURED = 12


def make_small(picture: Path) -> None:
    """Give a PNG a palette: evenly spaced greys, and the colours that it has most of."""
    with Image.open(picture) as file:
        image = file.convert("RGB")
    pixels = np.asarray(image).reshape(-1, 3)
    palette = np.linspace(0, 255, _GREYS).round().astype(np.uint8).repeat(3).tolist()
    coloured = pixels[np.ptp(pixels, axis=1) > _COLOURED]
    if len(coloured):
        few = Image.fromarray(coloured[None]).quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE)
        palette += few.getpalette()[: 3 * _COLOURS]
    holder = Image.new("P", (1, 1))
    holder.putpalette(palette)
    image.quantize(palette=holder, dither=Image.Dither.NONE).save(picture, optimize=True)

"""An answer of several parts, as MONAI Label sends a file beside its JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from fastapi.responses import JSONResponse, Response
from requests_toolbelt import MultipartEncoder

from vpt_plugin.inference import Prediction
from vpt_plugin.inference.evidence import AnswerFile

from ..errors import BadRequestError
from ..names import safe_name

if TYPE_CHECKING:
    # It brings the torch side of heat maps along.
    from vpt_plugin.inference.heat import HeatMap

PARAMS, FIRST = "params", "file"
_GZIP = "application/gzip"


def with_heat_maps(
    prediction: Prediction, maps: Sequence[HeatMap], study: str, *, began: float
) -> Prediction:
    """The answer with its heat maps, each as a file, which takes a while to pack.

    Args:
        prediction: without any.
        maps: of the findings in question; MONAI Label's clients take the first, which is the part ``file``.
        study: what it is called; the files are called after it.
        began: when they were begun, by ``perf_counter``.
    """
    parts = [FIRST, *(f"{FIRST}_{each.finding}" for each in maps[1:])]
    placed = list(zip(maps, parts, strict=True))
    facts = [each.facts(part) for each, part in placed]
    files = [
        AnswerFile(part, f"{safe_name(study)}.{each.finding}.nii.gz", each.nifti()) for each, part in placed
    ]
    return prediction.explained(maps[0].method, facts, perf_counter() - began, files=files)


def response_of(prediction: Prediction, output: str | None) -> Response:
    """The answer as it was asked for.

    Args:
        prediction: the answer.
        output: ``json`` for the facts alone, ``image`` for the first heat map alone, ``all`` or None for all
            there is, in several parts where there is a file.
    """
    if output == "image":
        return _image(prediction)
    if output == "json" or not prediction.files:
        return JSONResponse(_without_files(prediction).to_json())
    told = JSONResponse(prediction.to_json()).body
    parts = [(PARAMS, (None, bytes(told), "application/json"))]
    parts += [(each.part, (each.name, each.content, _GZIP)) for each in prediction.files]
    form = MultipartEncoder(parts)
    return Response(form.to_string(), media_type=form.content_type)


def check_output(output: str | None, *, explains: bool) -> None:
    """Refuse an output that this answer cannot have, before it is computed.

    Raises:
        BadRequestError: says which it can.
    """
    if output == "dicom_seg" or (output == "image" and not explains):
        raise BadRequestError(
            f"output {output} is not offered;",
            "a classification answers in JSON; its heat map is an image: send explain in params.",
        )


def _image(prediction: Prediction) -> Response:
    file = prediction.files[0]
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}
    return Response(file.content, media_type=_GZIP, headers=headers)


def _without_files(prediction: Prediction) -> Prediction:
    """The same, whose heat maps are told of and not there."""
    if prediction.heat_map is None:
        return prediction
    facts = tuple(replace(each, part="") for each in prediction.heat_map.findings)
    return replace(prediction, heat_map=replace(prediction.heat_map, findings=facts), files=())

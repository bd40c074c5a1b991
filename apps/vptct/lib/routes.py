"""Our twins of some of MONAI Label's routes, put before them.

MONAI Label's own are coroutines that compute, so that one inference stops the whole server, and they leave
uploads behind when something goes wrong. These are plain functions: FastAPI gives each its own thread.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from anyio import from_thread
from fastapi import APIRouter, Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse
from monailabel.config import settings
from monailabel.endpoints.infer import ResultType
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance

from vpt_plugin.errors import LabelError

from . import session_routes
from .datastore import FINAL
from .errors import BadRequestError, NotOfferedError
from .infer_request import check_params, session_study, uploaded

_MAX_LABEL_BYTES = 1 << 20
_MAY_USE = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
_MAY_ANNOTATE = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))

router = APIRouter()

_WRITE = ("POST", "PUT", "DELETE")
_ANY = ("GET", "HEAD", *_WRITE)
# What MONAI Label has a route for and this server does not do: the route, its methods, message and hint.
NOT_OFFERED = (
    ("/infer/wsi/{rest:path}", _ANY, "slide images are not read here;", "POST /infer/{model} reads CTs."),
    ("/infer/wsi_v2/{rest:path}", _ANY, "slide images are not read here;", "POST /infer/{model} reads CTs."),
    ("/batch/{rest:path}", _WRITE, "there is no batch inference;", "POST /infer/{model} takes one study."),
    ("/train/{rest:path}", _WRITE, "models are not trained over HTTP;", "vpt finetune trains them."),
    ("/model/{rest:path}", _ANY, "model files are kept from HTTP;", "GET /info/ lists the models."),
    ("/scoring/{rest:path}", _WRITE, "there is nothing to score;", "GET /info/ has each model's validation."),
    ("/logs/{rest:path}", _ANY, "logs are kept from HTTP;", "who runs the server can read them there."),
    ("/proxy/{rest:path}", _ANY, "other servers are not asked from here;", "ask them themselves."),
    ("/reload", _ANY, "the server is not reloaded over HTTP;", "start it again."),
)  # fmt: skip


def install(server: FastAPI) -> None:
    """Put our routes before MONAI Label's, so that they are found first."""
    ours = APIRouter()
    for path, methods, message, hint in NOT_OFFERED:
        # One of MONAI Label's routes stands outside its prefix; the others follow the setting.
        prefix = "" if path == "/reload" else settings.MONAI_LABEL_API_STR
        refuse = partial(_refuse, message, hint)
        ours.add_api_route(prefix + path, refuse, methods=list(methods), include_in_schema=False)
    ours.include_router(router, prefix=settings.MONAI_LABEL_API_STR)
    ours.include_router(session_routes.router, prefix=settings.MONAI_LABEL_API_STR)
    server.router.routes[:0] = ours.routes


@router.get("/info/", tags=["App"], summary="What this server can do")
def info(user: User = _MAY_USE) -> dict[str, Any]:
    """Tasks, models, their versions and how they were validated: the block ``vptct``."""
    return dict(app_instance().info())


@router.post("/infer/{model}", tags=["Infer"], summary="Classify a study")
def infer(
    request: Request,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: ResultType | None = None,
    user: User = _MAY_USE,
) -> JSONResponse:
    """The result contract ``vptct.result/1`` for a study of the datastore, of a session, or in ``file``.

    ``file`` is a NIfTI, NRRD or MHA file or a zip of DICOM. Inference waits for its turn; a client that
    hangs up gives its turn away.
    """
    app = app_instance()
    task = app.classify_task(model)
    check_params(params)
    if output not in (None, ResultType.json, ResultType.all):
        raise BadRequestError(f"output {output.value} is not offered;", "a classification answers in JSON.")
    if label is not None:
        raise BadRequestError("a classification takes no label.")
    if not (session_id or file or image):
        raise BadRequestError("no study is named;", "give image=ID, session_id=ID or upload a file.")
    task.check_trained()
    answer = partial(task.classify, cancelled=partial(from_thread.run, request.is_disconnected))
    if session_id:
        path, name = session_study(app.sessions(), session_id)
        prediction = answer(path, study=name)
    elif file:
        with uploaded(file) as (path, name):
            prediction = answer(path, study=name)
    else:
        prediction = answer(app.datastore().studies.path(image), study=image)
    return JSONResponse(prediction.to_json())


@router.put("/datastore/label", tags=["Datastore"], summary="Save what a reader said about a study")
def save_label(
    image: str,
    label: Annotated[UploadFile, File()],
    params: Annotated[str, Form()] = "{}",
    tag: str = FINAL,
    user: User = _MAY_ANNOTATE,
) -> dict[str, Any]:
    """Save a label of the contract ``vptct.label/1``; it is on the disk when this answers."""
    check_params(params)
    contract = label.file.read(_MAX_LABEL_BYTES + 1)
    if len(contract) > _MAX_LABEL_BYTES:
        raise LabelError("the label is larger than 1 MiB.")
    app = app_instance()
    label_id = app.datastore().save(image, contract, tag)
    app.on_save_label(image, label_id)
    return {"image": image, "label": label_id}


@router.put("/datastore/image", tags=["Datastore"], summary="Not offered")
@router.put("/datastore/", include_in_schema=False)
def add_image(user: User = _MAY_ANNOTATE) -> None:
    """Refused before anything is written; MONAI Label's own would leave the upload behind."""
    app_instance().datastore().add_image("", "", {})


def _refuse(message: str, hint: str) -> None:
    """Nothing of the request's body is read before."""
    raise NotOfferedError(message, hint)

"""What MONAI Label has a route for and this server does not do: refused before anything is read."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType

from fastapi import APIRouter

from ..conf import AppConf
from ..errors import NotOfferedError
from .who import User

_READ = ("GET", "HEAD")
_WRITE = ("POST", "PUT", "DELETE")
_ANY = (*_READ, *_WRITE)
_SLIDES = ("slide images are not read here;", "POST /infer/{model} reads CTs.")
_NO_REMOVAL = ("a saved label is not removed;", "save a new version of it.")
_NO_CHANGE = ("a saved label is not changed;", "save a new version of it.")
_NO_UPLOAD = ("a study gets its id from the server;", "PUT /datastore/ adds one.")
_NO_DELETION = ("studies are not removed over HTTP;", "remove it from the server's studies folder.")

# The route, its methods, the message and the hint.
NOT_OFFERED = (
    ("/infer/wsi/{rest:path}", _ANY, *_SLIDES),
    ("/infer/wsi_v2/{rest:path}", _ANY, *_SLIDES),
    ("/batch/{rest:path}", ("PUT", "DELETE"), "a batch is ended by who asked for it;", "hang up."),
    ("/train/", ("POST", "PUT"), "no training of all models at once;", "POST /train/{model} trains one."),
    ("/train/{rest:path}", ("PUT",), "a training is not changed;", "POST /train/{model} orders another one."),
    ("/model/{rest:path}", _ANY, "model files are kept from HTTP;", "GET /info/ lists the models."),
    ("/scoring/{rest:path}", _WRITE, "no scoring methods are here;", "POST /activelearning/scoring/{model}."),
    ("/proxy/{rest:path}", _ANY, "other servers are not asked from here;", "ask them themselves."),
    ("/ohif/{rest:path}", _ANY, "there is no viewer on this server;", "3D Slicer is one."),
    ("/datastore/image", ("PUT",), *_NO_UPLOAD),
    ("/datastore/", ("DELETE",), *_NO_DELETION),
    ("/datastore/image", ("DELETE",), *_NO_DELETION),
    ("/datastore/label", ("DELETE",), *_NO_REMOVAL),
    ("/datastore/label/info", ("PUT",), *_NO_CHANGE),
    ("/datastore/updatelabelinfo", ("PUT",), *_NO_CHANGE),
    ("/datastore/dataset", _READ, "there is no archive of all studies;", "copy the server's studies folder."),
)  # fmt: skip
# What the same paths do take.
_TAKEN = MappingProxyType(
    {
        "/batch/{rest:path}": ("GET", "POST"),
        "/train/": ("GET", "DELETE"),
        "/train/{rest:path}": ("GET", "POST", "DELETE"),
        "/datastore/": ("GET", "PUT"),
        "/datastore/image": ("GET", "HEAD"),
        "/datastore/label": ("GET", "PUT"),
        "/datastore/label/info": ("GET",),
    }
)
LOGS = ("/logs/{rest:path}", _ANY, "logs are kept from HTTP;", "--conf logs on shows them to admins.")
RELOAD = ("/reload", _ANY, "the server is not reloaded over HTTP;", "--conf reload on lets admins do it.")


def not_offered(conf: AppConf) -> APIRouter:
    """The routes that refuse; with those of the log and of reloading, where they are switched off."""
    router = APIRouter()
    switched_off = [route for route, on in ((LOGS, conf.logs), (RELOAD, conf.reload)) if not on]
    for path, methods, message, hint in (*NOT_OFFERED, *switched_off):
        refuse = partial(_refuse, message, hint, _TAKEN.get(path, ()))
        router.add_api_route(path, refuse, methods=list(methods), include_in_schema=False)
    return router


def _refuse(message: str, hint: str, allowed: tuple[str, ...], person: User) -> None:
    """Nothing of the request's body is read before."""
    raise NotOfferedError(message, hint, allowed=allowed)

"""Puts the login, the check of origins and hosts, and the address into a server that is starting."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from monailabel.config import settings
from starlette.middleware import Middleware

from vpt_plugin.errors import ConfigurationError

from .bind import settle_address
from .conf import ANYONE, AccessConf
from .gate import Gate
from .keycloak import KeycloakLogin, keycloak_settings
from .login import Login, NoLogin, TokenFileLogin
from .origins import OriginGuard

# What this server's routes know, and nothing else.
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
_HEADERS = ("Authorization", "Content-Type")


def install(server: FastAPI, conf: AccessConf) -> None:
    """Close the server for all but those whom the configuration lets in.

    Args:
        server: MONAI Label's FastAPI app, before it listens.
        conf: who may ask.

    Raises:
        ConfigurationError: what was asked for contradicts itself or would leave the server open.
        TokenFileError: the file of tokens cannot be used.
    """
    if settings.MONAI_LABEL_CORS_ORIGINS:
        raise ConfigurationError(
            "MONAI_LABEL_CORS_ORIGINS is not used here.", "Give --conf cors_origins ORIGIN instead."
        )
    login = choose_login(conf)
    settle_address(conf, login=login.kind != "none")
    server.state.login = login
    server.user_middleware = [
        *middleware(login, conf, prefix=settings.MONAI_LABEL_API_STR),
        # MONAI Label's own lets a page of any origin ask with the reader's credentials.
        *(each for each in server.user_middleware if each.cls is not CORSMiddleware),
    ]
    # Starlette has built its stack by now; it builds a new one at the next request.
    server.middleware_stack = None


def choose_login(conf: AccessConf) -> Login:
    """How people prove who they are.

    Raises:
        ConfigurationError: two ways at once, or a login where none is wanted.
        TokenFileError: the file of tokens cannot be used.
    """
    keycloak = settings.MONAI_LABEL_AUTH_ENABLE
    if keycloak and conf.token_file:
        raise ConfigurationError(
            "--conf token_file and MONAI_LABEL_AUTH_ENABLE are two ways to log in.", "Choose one of them."
        )
    if (keycloak or conf.token_file) and conf.without_login == ANYONE:
        raise ConfigurationError(
            "--conf without_login anyone, and there is a login, which everybody needs.",
            "Leave out one of them.",
        )
    if keycloak:
        return KeycloakLogin(keycloak_settings())
    return TokenFileLogin(conf.token_file) if conf.token_file else NoLogin()


def middleware(login: Login, conf: AccessConf, *, prefix: str = "") -> list[Middleware]:
    """What a request passes before it comes to a route, the outermost first."""
    open_to_all = login.kind == "none"
    guard = Middleware(
        OriginGuard,
        origins=conf.cors_origins,
        hosts=conf.hosts if open_to_all or conf.hosts else None,
        loopback_only=open_to_all and conf.without_login != ANYONE,
    )
    # Before the gate: the question whether it may ask (preflight) is one a browser asks without its token.
    # No credentials: the token is not one that a browser sends by itself.
    cors = Middleware(
        CORSMiddleware, allow_origins=conf.cors_origins, allow_methods=_METHODS, allow_headers=_HEADERS
    )
    gate = Middleware(Gate, login=login, prefix=prefix)
    return [guard, cors, gate] if conf.cors_origins else [guard, gate]

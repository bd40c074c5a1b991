"""Why the study on screen cannot be classified, in words: what is to be done first."""

from __future__ import annotations

from ..i18n import tr as _
from .choice import Choice
from .server_link import READY, ServerLink
from .study_on_screen import StudyOnScreen


def why_not(server: ServerLink, study: StudyOnScreen, choice: Choice) -> str:
    """What is missing, the first thing first; "" where nothing is."""
    if server.state != READY or server.client is None:
        return _why_no_server(server.state)
    if study.volume is None:
        return _("Load or choose a chest CT first.")
    if study.refusal:
        return study.refusal
    model = choice.model
    if model is None:
        return _("This server has no network for this task.")
    if model.trained:
        return ""
    return model.problem or _(
        "{title} was never trained for this task. Label studies, then train it below."
    ).format(title=model.title)


def _why_no_server(state: str) -> str:
    return {
        "connecting": _("Wait for the server."),
        "login": _("Log in to the server first."),
        "away": _("The server does not answer. It is looked for again and again."),
    }.get(state, _("Connect to a server first."))

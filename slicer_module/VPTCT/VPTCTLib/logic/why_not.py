"""Why the study on screen cannot be classified, in words: what is to be done first."""

from __future__ import annotations

from ..i18n import tr as _
from .choice import Choice
from .server_link import READY, ServerLink
from .server_words import why_no_server
from .study_on_screen import StudyOnScreen


def why_not(server: ServerLink, study: StudyOnScreen, choice: Choice) -> str:
    """What is missing, the first thing first; "" where nothing is."""
    if server.state != READY or server.client is None:
        return why_no_server(server)
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

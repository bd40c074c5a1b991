"""Words of the study on screen: where it is, which network would answer, and how far the answer is."""

from __future__ import annotations

import time

from ..contract.info import ModelInfo
from ..i18n import tr as _
from ..settings import UPLOAD_WHOLE, Settings
from ..which_study import ARCHIVE, OnServer
from .choice import Choice
from .classification import Classification
from .classify_run import ASKING, COMPUTING, PREPARING, UPLOADING, WAITING
from .server_link import READY, ServerLink
from .study_on_screen import StudyOnScreen
from .study_upload import form_for, megabytes, upload_in_words
from .words import finding_in_words, pretraining_in_words


def place_in_words(
    study: StudyOnScreen,
    server: ServerLink,
    choice: Choice,
    settings: Settings,
    uploaded_until: float | None,
) -> str:
    """Where the study on screen is; "" where nothing can be said of that.

    Args:
        study: that is on screen.
        server: where it may be.
        choice: of the network, by which it is seen how much would be uploaded.
        settings: whether it would be uploaded whole.
        uploaded_until: how long the server keeps an upload of it (seconds since 1970); None for none.
    """
    if study.volume is None or study.refusal or server.info is None or server.client is None:
        return ""
    if study.place is None:
        return _("Looking for it on the server …") if server.state == READY else ""
    if isinstance(study.place, OnServer):
        if server.info.studies.kind == ARCHIVE:
            return _("In the server's archive.")
        return _("On the server as {study}.").format(study=study.place.study)
    if uploaded_until is not None:
        when = time.strftime("%H:%M", time.localtime(uploaded_until))
        return _("Only on this computer. Uploaded for now: the server forgets it at {when}.").format(
            when=when
        )
    needs = None
    if choice.task is not None and not settings.get(UPLOAD_WHOLE):
        needs = choice.task.needs if choice.model is None else choice.task.needs_of(choice.model)
    what = upload_in_words(study.volume, needs, form_for(server.client, server.info.uploads))
    return _("Only on this computer: will be uploaded ({what}).").format(what=what)


def model_title(model: ModelInfo) -> str:
    """A network in a list."""
    if not model.trained:
        return _("{title} (not trained)").format(title=model.title)
    return _("{title}, version {n}").format(title=model.title, n=model.version)


def model_in_words(model: ModelInfo) -> tuple[str, ...]:
    """What is known of a network, a line each; what speaks against trusting it is marked."""
    if not model.trained:
        return ()
    lines = [
        _("{pretraining}; trained on {n} studies; {calibrated}.").format(
            pretraining=_pretraining(model.pretraining),
            n=_("n/a") if model.trained_on is None else model.trained_on,
            calibrated=_("calibrated") if model.calibrated else _("not calibrated"),
        ),
        *_auroc_lines(model),
    ]
    if model.synthetic:
        lines.append(_("⚠ Trained on phantoms, not on patients."))
    return tuple(lines)


def state_in_words(classification: Classification) -> str:
    """How far the classification of the volume on screen is; "" where none is under way."""
    state, progress, ahead = classification.state, classification.progress, classification.ahead
    if state == WAITING:
        return _("Waits until {name} is classified.").format(name=classification.waits_for)
    if state == ASKING:
        return _("Asking the server for this study …")
    if state == PREPARING:
        return _("Preparing the study for the upload …")
    if state == UPLOADING and progress is not None:
        return _("Uploading: {done} of {all} MB").format(
            all=megabytes(progress[1]), done=megabytes(progress[0])
        )
    if state == COMPUTING and ahead:
        return (
            _("Waits on the server behind {n} others.").format(n=ahead)
            if ahead > 1
            else _("Waits on the server behind another one.")
        )
    if state in (UPLOADING, COMPUTING) and classification.explains:
        return _("The server computes, and looks where the answer comes from …")
    if state in (UPLOADING, COMPUTING):
        return _("The server computes …")
    return ""


def others_in_words(classification: Classification) -> str:
    """What is classified beside the volume on screen; "" for nothing."""
    others = [name for name in classification.others if name != classification.waits_for]
    return _("Also under way: {names}.").format(names=", ".join(others)) if others else ""


def _auroc_lines(model: ModelInfo) -> list[str]:
    measured = model.validation_auroc or {}
    if not measured:
        return [_("Validation AUROC: n/a")]
    if len(measured) == 1:
        return [_("Validation AUROC {figure}").format(figure=next(iter(measured.values())))]
    return [
        _("Validation AUROC, {finding}: {figure}").format(finding=finding_in_words(name), figure=figure)
        for name, figure in measured.items()
    ]


def _pretraining(name: str | None) -> str:
    if name == "none":
        return _("Not pretrained")
    return _("Pretrained on {what}").format(what=pretraining_in_words(name) if name else _("n/a"))

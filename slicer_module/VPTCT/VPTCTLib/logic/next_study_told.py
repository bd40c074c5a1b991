"""What the reader is told of a study that they asked for and that does not come as they expect."""

from __future__ import annotations

from ..contract.next_study import NextStudy
from ..errors import CancelledError, UnreachableError, VptctError
from ..i18n import tr as _
from .messages import ERROR, INFO, Messages
from .study_ends import ABOUT as END

ABOUT = "next study"


def settle_old(messages: Messages) -> None:
    """The reader goes on: what was told of the study before is over."""
    messages.settle(ABOUT)
    messages.settle(END)


def tell_held_first(messages: Messages, study: str, count: int) -> None:
    """A study that was held before comes first."""
    if count == 1:
        text = _("You still hold {study}, so it comes first.").format(study=study)
    else:
        text = _("You still hold {n} studies; {study} comes first.").format(n=count, study=study)
    messages.tell(INFO, text, _("What you do not want to read you can give back, in the list."), about=ABOUT)


def tell_nothing_left(messages: Messages, offer: NextStudy) -> None:
    """There is none: where all studies are, and what the server says of it."""
    counts = offer.worklist
    where = _("{labelled} labelled, {held} in readers' hands, {skipped} skipped, {unreadable} unreadable.")
    words = where.format(
        labelled=counts.labelled, held=counts.held, skipped=counts.skipped, unreadable=counts.unreadable
    )
    text = _("No study is left for you to label: {where}").format(where=words)
    messages.tell(INFO, text, " ".join(offer.warnings), about=ABOUT)


def tell_none_came(messages: Messages, error: VptctError) -> None:
    """The server was asked and said no, or nothing."""
    if not isinstance(error, UnreachableError):
        messages.tell_error(error, about=ABOUT)
        return
    messages.tell(
        ERROR,
        _("No study came: {why}").format(why=error.message),
        _("If the server had chosen one, it is kept for you, and comes when you ask again."),
        about=ABOUT,
    )


def tell_not_fetched(messages: Messages, study: str, error: VptctError) -> None:
    """The server keeps a study for the reader, but it is not on the screen."""
    if isinstance(error, CancelledError):
        level, text = INFO, _("Study {study} was not fetched.").format(study=study)
    else:
        level, text = ERROR, _("Study {study} did not come: {why}").format(study=study, why=error.message)
    hint = _("It stays in the list of studies that you hold, and can be opened there.")
    messages.tell(level, text, hint, about=ABOUT)

"""Studies that a server refuses, because what its network says of them would be meaningless."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

from ..errors import RefusedError, VptctError
from ..i18n import tr as _
from ..scene.fingerprint import revision
from .classify_order import Bench, Order

# The server's name of it.
_UNSUITABLE = "UnsuitableStudyError"


def offer_anyway(order: Order, error: VptctError, bench: Bench, again: Callable[[Order], object]) -> None:
    """Ask the reader whether they want an answer all the same, where that is why there is none.

    Args:
        order: that was refused.
        error: why.
        bench: has who asks.
        again: is called with the order that the reader then gives.
    """
    if not isinstance(error, RefusedError) or error.error != _UNSUITABLE or order.anyway:
        return
    text = _("{reason}\n\nAn answer is marked as unsure, and not to be relied on.").format(
        reason=error.message
    )

    contents = revision(order.volume)

    def is_as_refused() -> bool:
        return order.volume.GetScene() is not None and revision(order.volume) == contents

    def ask() -> None:
        # Before the question and while it is open, the volume may go or become another one.
        if (
            is_as_refused()
            and bench.questions.confirm(_("Have it answered all the same?"), text, _("Answer anyway"))
            and is_as_refused()
        ):
            again(replace(order, anyway=True))

    # Not from the callback of a job: while a dialog is open inside of it, no job would get on.
    bench.ticker.after(0, ask)

"""All results of a search, from archives that page, that cap, and that ignore being asked for a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
# (limit, offset), None for both where the archive is to send what it has.
AskForPage = Callable[[int | None, int | None], list[Row]]


def all_rows(ask: AskForPage, uid_of: Callable[[Row], str], *, limit: int) -> dict[str, Row]:
    """Every row once, by its UID; rows without one are left out.

    A short page is no sign of the end, because an archive may send fewer rows than it is asked for. The end
    is a page with nothing new in it.

    Args:
        ask: asks the archive for one page.
        uid_of: the UID that tells rows apart; "" where there is none.
        limit: rows to ask for at a time.
    """
    found: dict[str, Row] = {}
    offset = 0
    while True:
        page = ask(limit, offset)
        new = _by_uid(page, uid_of).keys() - found.keys()
        found = {**_by_uid(page, uid_of), **found}
        if not new or len(page) > limit:  # more than asked for: it sends all there is at once
            break
        offset += len(page)
    if len(page) == limit and not new:
        # A full page of what is known already: offset is ignored, so the rest comes only with all of it.
        found = {**_by_uid(ask(None, None), uid_of), **found}
    return found


def _by_uid(rows: list[Row], uid_of: Callable[[Row], str]) -> dict[str, Row]:
    return {uid: row for row in rows if (uid := uid_of(row))}

"""HTML that cannot forget to escape: text becomes markup only through ``tag``."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence


class Markup(str):
    """HTML that is escaped already; any other text is not."""

    __slots__ = ()


_WITHOUT_END = frozenset({"img", "meta", "br"})


def tag(name: str, *children: str, **attributes: str) -> Markup:
    """``<name attribute="...">children</name>``; what is no ``Markup`` is escaped.

    Args:
        name: of the element.
        children: texts and elements.
        attributes: ``class_`` stands for ``class``, which is a word of Python; ``http_equiv`` for
            ``http-equiv``.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items()
    )
    if name in _WITHOUT_END:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Texts and elements after each other."""
    return Markup("".join(each if isinstance(each, Markup) else html.escape(each) for each in children))


def image(data: bytes, alt: str) -> Markup:
    """A PNG inside the page; ``alt`` says in words what it shows."""
    return tag("img", src=f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}", alt=alt)


def table(
    columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, caption: str = "", class_: str = ""
) -> Markup:
    """Rows below their titles; the first cell of every row is its title, too."""
    head = tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns)))
    body = tag(
        "tbody",
        *(tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows),
    )
    title = tag("caption", caption) if caption else Markup()
    return tag("table", title, head, body, **({"class_": class_} if class_ else {}))

"""Settings: what the reader chose once for this computer. ``SETTINGS`` is all there is, with its words."""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .i18n import tr as _

T = TypeVar("T", bool, int, str)

_ADDRESSES = "VPTCT.addresses"
_CONNECTED = "VPTCT.connected"
_LINK_SPEEDS = "VPTCT.link_speeds"
_KEPT_ADDRESSES = 10


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One setting.

    Attributes:
        key: under which it is stored.
        default: where nothing is stored, or nothing that can be read; its type is the setting's.
        title: for the settings panel.
        tip: what it does.
    """

    key: str
    default: T
    title: str
    tip: str


JUMP_TO_KEY_SLICE = Setting(
    "VPTCT.jump_to_key_slice", True, _("Jump to the key slice after Classify"),
    _("Shows the slice that speaks most for the answer as soon as it comes."),
)  # fmt: skip
PRESELECT = Setting(
    "VPTCT.preselect", False, _("Fill in the label form from the answer"),
    _("Off, you decide before the network's answer can lead you: readers agree with what is filled in."),
)  # fmt: skip
NEXT_AFTER_SUBMIT = Setting(
    "VPTCT.next_after_submit", False, _("Ask for the next study after Submit label"),
    _("Downloads and shows the next study of the worklist as soon as a label is saved or a study skipped."),
)  # fmt: skip
CLASSIFY_NEXT = Setting(
    "VPTCT.classify_next", False, _("Classify the next study as soon as it is loaded"),
    _("Off, you read the study before you see what the network says."),
)  # fmt: skip
REMOVE_DONE = Setting(
    "VPTCT.remove_done", True, _("Remove a finished study when the next one comes"),
    _("What you labelled, skipped or gave back leaves the scene, so that memory does not fill up over a day. "
      "What you loaded yourself stays."),
)  # fmt: skip
UPLOAD_WHOLE = Setting(
    "VPTCT.upload_whole", False, _("Upload studies whole"),
    _("Off, only what the task needs leaves this computer: fewer pixels and the HU window of the task."),
)  # fmt: skip
READER = Setting(
    "VPTCT.reader", "", _("Your name"),
    _("Stands on your labels where the server asks for no login."),
)  # fmt: skip
CA_BUNDLE = Setting(
    "VPTCT.ca_bundle", "", _("Certificates"),
    _("A file of certificate authorities (PEM), where your server's certificate is of your own institution."),
)  # fmt: skip
REFRESH_SECONDS = Setting(
    "VPTCT.refresh_seconds", 20, _("Look at the server every"),
    _("How soon you see that the server is gone, is back, or has a new model."),
)  # fmt: skip

SETTINGS: Sequence[Setting[bool] | Setting[int] | Setting[str]] = (
    READER, JUMP_TO_KEY_SLICE, PRESELECT, NEXT_AFTER_SUBMIT, CLASSIFY_NEXT, REMOVE_DONE, UPLOAD_WHOLE,
    REFRESH_SECONDS, CA_BUNDLE,
)  # fmt: skip


class Settings:
    """What is stored of them.

    Args:
        store: texts by key, such as a wrapper of Slicer's settings; also holds the consents.
    """

    def __init__(self, store: MutableMapping[str, str]) -> None:
        self.store = store

    def get(self, setting: Setting[T]) -> T:
        """Its value; the default where nothing, or something of another type, is stored."""
        text = self.store.get(setting.key)
        if text is None:
            return setting.default
        if isinstance(setting.default, str):
            return text
        try:
            value = json.loads(text)
        except ValueError:
            return setting.default
        return value if type(value) is type(setting.default) else setting.default

    def set(self, setting: Setting[T], value: T) -> None:
        """Store it."""
        self.store[setting.key] = value if isinstance(value, str) else json.dumps(value)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Servers that were connected to, the last one first."""
        try:
            known = json.loads(self.store.get(_ADDRESSES, "[]"))
        except ValueError:
            return ()
        return tuple(each for each in known if isinstance(each, str)) if isinstance(known, list) else ()

    def remember_address(self, address: str) -> None:
        """Put it first in ``addresses``."""
        others = [each for each in self.addresses if each != address]
        self.store[_ADDRESSES] = json.dumps([address, *others][:_KEPT_ADDRESSES])

    def forget_address(self, address: str) -> None:
        """Take it out of ``addresses``, with what else is known of it."""
        self.store[_ADDRESSES] = json.dumps([each for each in self.addresses if each != address])
        speeds = self._link_speeds()
        if speeds.pop(address, None) is not None:
            self.store[_LINK_SPEEDS] = json.dumps(speeds)

    def link_speed(self, address: str) -> float | None:
        """How fast uploads to a server went last, in bytes per second; None where that is not known."""
        speed = self._link_speeds().get(address)
        return speed if isinstance(speed, float) and speed > 0 else None

    def remember_link_speed(self, address: str, bytes_per_second: float) -> None:
        """Of the servers that were uploaded to last."""
        others = [each for each in self._link_speeds().items() if each[0] != address]
        self.store[_LINK_SPEEDS] = json.dumps(dict([(address, bytes_per_second), *others][:_KEPT_ADDRESSES]))

    def _link_speeds(self) -> dict[str, object]:
        try:
            known = json.loads(self.store.get(_LINK_SPEEDS, "{}"))
        except ValueError:
            return {}
        return known if isinstance(known, dict) else {}

    @property
    def connected(self) -> str:
        """The server that was connected to when the module was last used; "" for none."""
        return self.store.get(_CONNECTED, "")

    @connected.setter
    def connected(self, address: str) -> None:
        self.store[_CONNECTED] = address

"""What ``kill_labels.py`` lets loose on the server: readers who save labels, and others who ask and ask."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import requests

STATES = ("present", "absent", "indeterminate")
STUDIES = tuple(f"s{number:02d}.nii" for number in range(40))
_REFUSED = 409
_SECONDS = 60
_ASKED = (
    "/datastore/?output=all",
    "/info/",
    "/datastore/",
    "/datastore/label/history?image=s00.nii&task=nodule",
)


@dataclass(frozen=True, eq=False)
class Sent:
    """One label on its way.

    Attributes:
        study: its id.
        label: the JSON of the label contract.
        if_version: what it was made upon; None where it was to be saved in any case.
        status: of the answer; None where none came.
        answer: its JSON.
    """

    study: str
    label: dict[str, Any]
    if_version: int | None
    status: int | None = None
    answer: dict[str, Any] | None = None

    @property
    def is_refused(self) -> bool:
        """It was set aside, for another version is the newest."""
        return self.status == _REFUSED


class Client:
    """A reader who saves labels one after the other, until all are acknowledged or the server is gone.

    Args:
        name: the annotator's.
        labels: how many.
        round_: goes into the labels, so that no two of a whole trial are the same.
        seed: of the choice of studies and states.
    """

    def __init__(self, name: str, labels: int, round_: int, seed: float) -> None:
        self._rng = random.Random(seed)  # noqa: S311  no secret
        self._seen: dict[str, int] = {}
        self._to_send = [self._label(name, f"round {round_}, label {number}") for number in range(labels)]
        self.sent: list[Sent] = []
        self.answered = 0

    def work(self, url: str) -> None:
        """Save what is not acknowledged yet; the label that the server died upon is sent again."""
        with requests.Session() as http:
            http.trust_env = False
            while self._to_send:
                study, label = self._to_send[-1]
                # Every other reader looks first; what they have seen may be old by then.
                if_version = self._seen.get(study, 0) if int(label["seconds_spent"]) % 2 else None
                try:
                    answer = _save(http, url, study, label, if_version)
                except requests.RequestException:
                    self.sent.append(Sent(study, label, if_version))
                    return
                content = answer.json()
                if answer.status_code not in (200, _REFUSED):
                    raise RuntimeError(f"{study}: the server answers {answer.status_code}: {answer.text}")
                self.sent.append(Sent(study, label, if_version, answer.status_code, content))
                newest = (
                    content["conflict"]["newest_version"] if "conflict" in content else content["version"]
                )
                self._seen[study] = int(newest)
                self.answered += 1
                self._to_send.pop()

    def _label(self, name: str, comment: str) -> tuple[str, dict[str, Any]]:
        return self._rng.choice(STUDIES), {
            "schema": "vptct.label/1",
            "task": "nodule",
            "findings": {"lung_nodule": {"state": self._rng.choice(STATES)}},
            "annotator": name,
            "created": "2026-11-20T20:31:05Z",
            "seconds_spent": self._rng.randrange(600),
            "series_uid": "",
            "model_suggestion": {},
            "comment": comment,
        }


class Load(threading.Thread):
    """Lists the studies, makes the server look for new ones, and asks what it can do, until told to stop."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        super().__init__()
        self._url = url
        self._stop_asking = stop
        self.answers = 0

    def run(self) -> None:
        """Ask; that the server is gone in between is what this is about."""
        while not self._stop_asking.is_set():
            for route in _ASKED:
                try:
                    self.answers += requests.get(self._url + route, timeout=_SECONDS).ok
                    next_study = f"{self._url}/activelearning/random"
                    self.answers += requests.post(next_study, json={}, timeout=_SECONDS).ok
                except requests.RequestException:
                    self._stop_asking.wait(0.05)


def check(url: str, sent: Iterable[Sent]) -> set[Sent]:
    """Those that the server has: in the history of their study, or set aside, byte for byte.

    Of an acknowledged label the file itself is asked for, and its SHA-256 compared with the one in the
    acknowledgement. Of one without an answer nobody knows the file; it is there where the history has it.
    """
    found = set()
    histories: dict[str, dict[str, Any]] = {}
    with requests.Session() as http:
        http.trust_env = False
        for each in sent:
            if each.study not in histories:
                histories[each.study] = _json(http, f"{url}/datastore/label/history", each)
            history = histories[each.study]
            versions = [_Version(one["sha256"], one["label"]) for one in history["versions"]]
            aside = [one["label"] for one in history["set_aside"]]
            if each.answer is None:
                there = each.label in aside or any(one.label == each.label for one in versions)
            elif each.is_refused:
                there = each.label in aside
            else:
                there = _is_saved(http, url, each, versions)
            if there:
                found.add(each)
    return found


@dataclass(frozen=True)
class _Version:
    sha256: str
    label: dict[str, Any]


def _save(
    http: requests.Session, url: str, study: str, label: dict[str, Any], if_version: int | None
) -> requests.Response:
    query = {"image": study, "tag": "final"} | ({} if if_version is None else {"if_version": str(if_version)})
    files = {"label": ("label.json", json.dumps(label).encode())}
    return http.put(f"{url}/datastore/label", params=query, files=files, timeout=_SECONDS)


def _is_saved(http: requests.Session, url: str, sent: Sent, versions: list[_Version]) -> bool:
    assert sent.answer is not None
    query = {"label": sent.answer["label"], "tag": "final"}
    answer = http.get(f"{url}/datastore/label", params=query, timeout=_SECONDS)
    digest = sent.answer["sha256"]
    return (
        answer.ok
        and hashlib.sha256(answer.content).hexdigest() == digest
        and answer.json() == sent.label
        and _Version(digest, sent.label) in versions
    )


def _json(http: requests.Session, url: str, sent: Sent) -> dict[str, Any]:
    answer = http.get(url, params={"image": sent.study, "task": "nodule"}, timeout=_SECONDS)
    answer.raise_for_status()
    return dict(answer.json())

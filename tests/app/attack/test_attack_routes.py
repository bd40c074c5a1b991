"""Every route of the running server, each of its fields in turn replaced by what an attacker would send."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from attack_range import LABEL, MULTIPART, Answer, Range, multipart

JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class Ask:
    """A request that means well; an attack is one of these with one thing changed.

    Attributes:
        path: the values of the braces in the route.
        query: as text.
        parts: of a multipart body: a field's name to its text, or to a file's name and content.
        form: of a form body.
        body: of a JSON body.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str | tuple[str, bytes]] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def send(self, attacked: Range, method: str, route: str) -> tuple[Answer, str]:
        """The answer, and the request as text."""
        target = route
        for name, value in self.path.items():
            target = target.replace("{" + name + "}", value)
        if self.query:
            # Values that are percent-encoded already go out as they are.
            target += "?" + "&".join(f"{quote(k, safe='%')}={v}" for k, v in self.query.items())
        headers, body = self._payload()
        answer = attacked.send(method, target, body, headers)
        return answer, f"{method} {target} {body[:200]!r}"

    def _payload(self) -> tuple[tuple[tuple[str, str], ...], bytes]:
        if self.parts:
            parts = [
                (name, None, part.encode()) if isinstance(part, str) else (name, *part)
                for name, part in self.parts.items()
            ]
            return (MULTIPART,), multipart(*parts)
        if self.form:
            return (FORM,), urlencode(self.form).encode()
        if self.body is not None:
            return (JSON,), json.dumps(self.body).encode()
        return (), b""


A_LABEL = ("label.json", json.dumps(LABEL).encode())
NO_SESSION = "00000000-0000-4000-8000-000000000000"
# A request that is answered well, for every operation of /openapi.json. A new route needs its row here.
ROUTES: dict[tuple[str, str], Ask] = {
    ("GET", "/auth/"): Ask(),
    ("POST", "/auth/token"): Ask(form={"username": "anna", "password": "x"}),
    ("GET", "/auth/token/valid"): Ask(),
    ("GET", "/info/"): Ask(),
    ("GET", "/train/"): Ask({}, {"check_if_running": "false", "all": "true"}),
    ("POST", "/train/{model}"): Ask({"model": "nodule_tiny"}, body={"epochs": 1, "client_id": "x"}),
    ("DELETE", "/train/"): Ask(),
    ("GET", "/train/{job}"): Ask({"job": "1"}),
    ("DELETE", "/train/{job}"): Ask({"job": "1"}),
    ("GET", "/train/{job}/report"): Ask({"job": "1"}),
    ("GET", "/versions/{model}"): Ask({"model": "nodule_tiny"}),
    ("GET", "/versions/{model}/report"): Ask({"model": "nodule_tiny"}, {"version": "1"}),
    ("POST", "/versions/{model}/promote"): Ask({"model": "nodule_tiny"}, {"version": "1", "why": "x"}),
    ("POST", "/versions/{model}/rollback"): Ask({"model": "nodule_tiny"}, {"why": "x"}),
    ("GET", "/logs/"): Ask({}, {"lines": "5"}),
    ("POST", "/reload"): Ask(),
    ("POST", "/infer/{model}"): Ask(
        {"model": "nodule_tiny"}, {"image": "ct.nii.gz"}, {"params": '{"client_id": "x"}'}
    ),
    ("POST", "/report/{model}"): Ask({"model": "nodule_tiny"}, {"image": "ct.nii.gz", "send": "false"}),
    ("POST", "/batch/infer/{model}"): Ask(
        {"model": "nodule_tiny"}, {"images": "all"}, body={"max_batch_size": 1, "client_id": "x"}
    ),
    ("GET", "/batch/infer"): Ask(),
    ("PUT", "/session/"): Ask({}, {"uncompress": "false", "expiry": "60"}, {"files": ("x.nii", b"x")}),
    ("GET", "/session/{session_id}"): Ask(
        {"session_id": NO_SESSION}, {"update_ts": "true", "image": "false"}
    ),
    ("DELETE", "/session/{session_id}"): Ask({"session_id": NO_SESSION}),
    ("GET", "/datastore/"): Ask({}, {"output": "all"}),
    ("PUT", "/datastore/"): Ask({}, {}, {"file": ("x.nii", b"x")}),
    ("GET", "/datastore/series/{series_uid}"): Ask({"series_uid": "1.2.3"}, {"examination": "1.2"}),
    ("HEAD", "/datastore/image"): Ask({}, {"image": "ct.nii.gz", "check_sum": "0"}),
    ("GET", "/datastore/image"): Ask({}, {"image": "ct.nii.gz"}),
    ("GET", "/datastore/image/info"): Ask({}, {"image": "ct.nii.gz"}),
    ("PUT", "/datastore/image/info"): Ask({}, {"image": "ct.nii.gz"}, {"info": '{"a": 1}'}),
    ("PUT", "/datastore/label"): Ask(
        {}, {"image": "ct.nii.gz", "tag": "final", "if_version": "1"}, {"label": A_LABEL, "params": "{}"}
    ),
    ("GET", "/datastore/label"): Ask({}, {"label": "ct.nii.gz.nodule.0001", "tag": "final"}),
    ("GET", "/datastore/label/info"): Ask({}, {"label": "ct.nii.gz.nodule.0001", "tag": "final"}),
    ("GET", "/datastore/label/history"): Ask({}, {"image": "ct.nii.gz", "task": "nodule"}),
    ("GET", "/activelearning/"): Ask({}, {"client_id": "x"}),
    ("POST", "/activelearning/{strategy}"): Ask(
        {"strategy": "random"}, body={"client_id": "x", "task": "nodule", "n": 1, "unseen": False}
    ),
    ("GET", "/activelearning/{strategy}/worklist"): Ask(
        {"strategy": "random"}, {"task": "nodule", "model": "tiny", "finding": "lung_nodule", "n": "5"}
    ),
    ("POST", "/activelearning/scoring/{model}"): Ask({"model": "nodule_tiny"}),
    ("PUT", "/activelearning/leases/{study}"): Ask({"study": "ct.nii.gz"}, {"client_id": "x", "holder": "x"}),
    ("DELETE", "/activelearning/leases/{study}"): Ask(
        {"study": "ct.nii.gz"}, body={"client_id": "x", "holder": "x"}
    ),
    ("POST", "/activelearning/skips/{study}"): Ask(
        {"study": "ct.nii.gz"}, body={"client_id": "x", "reason": "other", "task": "pe", "comment": "x"}
    ),
    ("DELETE", "/activelearning/skips/{study}"): Ask({"study": "ct.nii.gz"}, {"task": "pe"}),
}  # fmt: skip

# As they stand in a request, so percent-encoded where a client would.
TRAVERSALS = (
    "..", ".", "../outside/ct.nii.gz", "..%2foutside%2fct.nii.gz", "%2e%2e%2foutside%2fct.nii.gz",
    "%2e%2e/%2e%2e/outside/canary.txt", "..%5coutside%5cct.nii.gz", "..\\outside\\ct.nii.gz",
    "....//....//etc/passwd", "..;/outside/ct.nii.gz", "%252e%252e%252foutside", "%c0%ae%c0%ae%c0%afoutside",
    "..%c1%9coutside", "/etc/passwd", "%2fetc%2fpasswd", "//etc/passwd", "file:///etc/passwd",
    "http://127.0.0.1:1/x", "C:%5cWindows%5cwin.ini", "C:ct.nii.gz", "%5c%5cserver%5cshare", "~", "~root",
    "%7e/canary.txt", "labels", "labels%2ffinal%2fct.nii.gz%2fnodule.0001", ".hidden",
    ".hidden%2fcanary.txt", "ct.nii.gz%2f..%2f..%2foutside%2fct.nii.gz", "ct.nii.gz%00.png", "%00",
    "ct.nii.gz%20", "ct.nii.gz.", "CT.NII.GZ", "ct.nii.gz::$DATA", "CON", "NUL.nii",
)  # fmt: skip
ODDITIES = (
    "", "%20", "%", "%zz", "%ff%fe", "%ed%a0%80", "%e2%80%ae", "%ef%bc%8e%ef%bc%8e%ef%bc%8foutside",
    "%F0%9F%AB%81", "a%0d%0aX-Injected:%20yes", "a%0aX-Injected:%20yes", "x" * 300, "x" * 7000, "%2e" * 2000,
    "*", "?", "%3f", "%23", "{}", "%7b%7bself%7d%7d", "$%7bjndi:ldap://127.0.0.1:1/x%7d", "$(id)",
    "%60id%60", ";id", "%7cid", "' OR '1'='1", "%3cscript%3e", "-1", "0", "1e309", "nan",
    "99999999999999999999999999", "true", "null", "[]", "%5b%5d", "__proto__", "__class__", "constructor",
)  # fmt: skip
PARAMS = (
    '{"image": "/etc/passwd"}', '{"image": "../outside/ct.nii.gz"}', '{"model": "x"}', '{"device": "cuda"}',
    '{"path": "/etc"}', '{"label": "x"}', '{"label_tag": "../x"}', '{"session_id": "../x"}',
    '{"save_label": true}', '{"description": "x"}', '{"result_extension": "/../../x"}',
    '{"result_dtype": "__import__(1)"}', '{"logging": "none"}', '{"client_id": {"a": [1]}}',
    '{"client_id": "\\ud800"}', '{"__class__": 1}', '{"": ""}', "", "{", "[]", "null", "1", '"x"',
    "[" * 100_000, '{"a":' * 20_000, '{"client_id": ' + "9" * 5000 + "}", '{"client_id": NaN}', "\x00",
    "{}{}", '{"client_id": 1, "client_id": 2}', '{"x": "' + "x" * 200_000 + '"}',
)  # fmt: skip
BODIES = (
    b"", b"{", b"null", b"[]", b"1", b'"x"', b"\x00" * 1000, b"\xff\xfe{}", b"[" * 200_000,
    b'{"a":' * 50_000, b'{"a": 1e999}', b'{"a": NaN}', b"{}" * 2, b'{"client_id": "\\ud800"}',
    b"x" * 3_000_000,
    b'{"image": "../outside/ct.nii.gz", "path": "/etc", "strategy": "../x", "label_tag": "../../x"}',
)  # fmt: skip
JSON_VALUES = (
    None, True, 0, -1, 5, 10**400, 1e308, 0.5, "", "..", "../x", "\x00", "\x1b[2J", "\u202e", "x" * 7000,
    "\ud800", [], ["x"], {}, {"a": [1]},
)  # fmt: skip
PRESENT = {"state": "present"}
LABEL_CHANGES: tuple[dict[str, Any], ...] = (
    {"task": "../../x"}, {"task": "nodule/../x"}, {"task": "x" * 5000}, {"task": None}, {"task": {}},
    {"schema": "vptct.label/2"}, {"findings": {}}, {"findings": []},
    {"findings": {"../x": {"state": "absent"}}}, {"findings": {"lung_nodule": {"state": "../x"}}},
    {"findings": {"lung_nodule": "absent"}},
    {"findings": {"lung_nodule": {**PRESENT, "slices_mm": [[1e400, 2]]}}},
    {"findings": {"lung_nodule": {**PRESENT, "slices_mm": [["a", {}]]}}}, {"annotator": "../../x"},
    {"annotator": ["a"]}, {"annotator": "\ud800"}, {"comment": "\x00"}, {"created": "yesterday"},
    {"created": 1}, {"seconds_spent": -1}, {"seconds_spent": "1"}, {"seconds_spent": 10**400},
    {"series_uid": "../../x"}, {"model_suggestion": [[]]}, {"version": -1},
)  # fmt: skip
LABELS = (
    b"", b"{", b"null", b"[]", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"\x00" * 100,
    b" " * ((1 << 20) + 1), *(json.dumps({**LABEL, **change}).encode() for change in LABEL_CHANGES),
)  # fmt: skip
FILE_NAMES = (
    "", ".", "..", "../../x.nii", "..\\..\\x.nii", "/etc/passwd", "C:\\x.nii", "a/b.nii", "x.nii\x00.png",
    "x" * 5000, ".hidden", "-rf", "~/x.nii", "con.nii", "x.nii:stream", "\u202egnp.iin",
    "\ud800".encode("utf-8", "surrogatepass").decode( "utf-8", "surrogateescape"), "a\tb", "$(id).nii",
    "%2e%2e%2fx.nii", "meta.info", "x.zip", "x.tar.gz",
)  # fmt: skip


def attacks(ask: Ask, outside: Path) -> Iterator[Ask]:
    """The request with each of its fields in turn replaced by each hostile value."""
    values = (
        *TRAVERSALS,
        *ODDITIES,
        quote(str(outside / "ct.nii.gz")),
        quote(str(outside / "ct.nii.gz"), safe=""),
    )
    for name in ask.path:
        yield from (replace(ask, path={**ask.path, name: value}) for value in values)
    for name in ask.query:
        yield from (replace(ask, query={**ask.query, name: quote(value, safe="%/\\:;~")}) for value in values)
        yield replace(ask, query={k: v for k, v in ask.query.items() if k != name})
        yield replace(ask, query={**ask.query, name + "[]": "x", name.upper(): "../x"})
    for name, part in ask.parts.items():
        if isinstance(part, str):
            yield from (replace(ask, parts={**ask.parts, name: value}) for value in PARAMS)
            continue
        yield from (replace(ask, parts={**ask.parts, name: (value, part[1])}) for value in FILE_NAMES)
        yield from (replace(ask, parts={**ask.parts, name: (part[0], value)}) for value in LABELS)
        yield replace(ask, parts={**ask.parts, name: "text, not a file"})
        yield replace(ask, parts={"wrong": part})
    for name in ask.form:
        yield from (replace(ask, form={**ask.form, name: value}) for value in PARAMS)
    if ask.body is not None:
        yield from (
            replace(ask, body={**ask.body, name: "../x"}) for name in ("image", "path", "strategy", "x" * 999)
        )
        yield from (
            replace(ask, body={**ask.body, name: value}) for name in ask.body for value in JSON_VALUES
        )


EVERY_ROUTE = pytest.mark.parametrize(("method", "route"), sorted(ROUTES), ids=lambda text: text)


def problems(attacked: Range, method: str, route: str, hostile: Iterable[Ask]) -> list[str]:
    """What went wrong with any of these requests, each as a line."""
    found = [attacked.problem(*ask.send(attacked, method, route)) for ask in hostile]
    return [problem for problem in found if problem]


@EVERY_ROUTE
def test_no_hostile_value_in_any_field_does_harm(attacked: Range, method: str, route: str) -> None:
    assert problems(attacked, method, route, attacks(ROUTES[method, route], attacked.outside)) == []


def test_every_route_of_the_server_is_in_the_table_and_no_other(attacked: Range) -> None:
    paths = attacked.send("GET", "/openapi.json").json["paths"]
    offered = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert offered == set(ROUTES)


def test_every_parameter_that_a_route_declares_is_attacked(attacked: Range) -> None:
    """Also those that its row in the table leaves out."""
    values = ("..%2f..%2foutside%2fct.nii.gz", "%00", "x" * 5000, "-1", quote(str(attacked.outside)))
    found = []
    for path, operations in attacked.send("GET", "/openapi.json").json["paths"].items():
        for method, operation in operations.items():
            ask = ROUTES[method.upper(), path]
            declared = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
            hostile = [replace(ask, query={**ask.query, name: text}) for name in declared for text in values]
            found += problems(attacked, method.upper(), path, hostile)
    assert found == []


@EVERY_ROUTE
def test_bodies_that_no_route_expects_do_no_harm(attacked: Range, method: str, route: str) -> None:
    target = filled(route)
    found = [
        attacked.problem(
            attacked.send(method, target, body, headers), f"{method} {target} {headers} {body[:60]!r}"
        )
        for headers in CONTENT_TYPES
        for body in BODIES
    ]
    assert [problem for problem in found if problem] == []


def filled(route: str) -> str:
    """The route with something plausible in its braces."""
    names = {
        "{model}": "nodule_tiny",
        "{session_id}": NO_SESSION,
        "{strategy}": "random",
        "{rest:path}": "x",
        "{job}": "1",
        "{study}": "ct.nii.gz",
    }
    for name, value in names.items():
        route = route.replace(name, value)
    return route


CONTENT_TYPES: tuple[tuple[tuple[str, str], ...], ...] = (
    (), (JSON,), (FORM,), (MULTIPART,), (("Content-Type", ""),), (("Content-Type", "multipart/form-data"),),
    (("Content-Type", "multipart/form-data; boundary="),), (("Content-Type", "text/xml"),),
    (("Content-Type", "application/json; charset=utf-99"),), (("Content-Type", "x" * 2000),),
    (("Content-Type", "multipart/form-data; boundary=" + "x" * 5000),),
)  # fmt: skip

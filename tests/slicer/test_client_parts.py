"""Answers of several parts come apart to the byte, or are refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests_toolbelt import MultipartEncoder
from scripted_server import ScriptedServer, answer
from VPTCTLib.client import Client
from VPTCTLib.errors import ContractError
from VPTCTLib.transport.connection import Connection
from VPTCTLib.transport.parts import parts_of
from VPTCTLib.transport.retry import RetryRule

RESULT = (Path(__file__).resolve().parents[1] / "contract" / "result.json").read_text(encoding="utf-8")


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n\r\n", b"\r\n--"])).map(b"".join)
)
def test_parts_come_apart_as_monai_label_puts_them_together(content: bytes) -> None:
    fields = {
        "params": '{"a": "é"}',
        "file": ("map; of one.nii.gz", content, "application/gzip"),
        "file_b": b"",
    }
    encoder = MultipartEncoder(fields)
    assert parts_of(encoder.content_type, encoder.to_string()) == {
        "params": '{"a": "é"}'.encode(), "file": content, "file_b": b"",
    }  # fmt: skip


def test_json_alone_is_the_part_params() -> None:
    assert parts_of("application/json; charset=utf-8", b"{}") == {"params": b"{}"}


@pytest.mark.parametrize(
    ("content_type", "content", "words"),
    [
        ("multipart/form-data", b"--a\r\n", "no boundary"),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="x"\r\n\r\n1',
            "short",
        ),
        ("multipart/form-data; boundary=a", b"<html>a proxy</html>", "short"),
        ("multipart/form-data; boundary=a", b"--a\r\nX: y\r\n\r\n1\r\n--a--\r\n", "without a name"),
    ],
)
def test_what_is_damaged_is_told(content_type: str, content: bytes, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        parts_of(content_type, content)


def test_an_explained_answer_has_the_answer_and_the_maps() -> None:
    encoder = MultipartEncoder(
        {"params": RESULT, "file": ("heat.nii.gz", b"\x1f\x8b map", "application/gzip")}
    )
    with ScriptedServer([answer(200, encoder.to_string(), Content_Type=encoder.content_type)]) as server:
        told = Client(Connection(server.url)).explanations.study("pe_swin_t", "p17")
    assert told.maps == {"pulmonary_embolism": b"\x1f\x8b map"}
    assert told.result.heat_map is not None
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/infer/pe_swin_t?image=p17")
    assert asked.body == b"params=%7B%22explain%22%3A+true%7D"


@pytest.mark.parametrize("without", ["heat_map", "file"])
def test_an_answer_without_its_map_is_no_explanation(without: str) -> None:
    said = json.loads(RESULT)
    if without == "heat_map":
        del said["vptct"]["heat_map"]
    play = answer(200, said, Content_Type="application/json")
    with (
        ScriptedServer([play]) as server,
        pytest.raises(
            ContractError, match="no heat map" if without == "heat_map" else "lacks its part 'file'"
        ),
    ):
        Client(Connection(server.url, retry=RetryRule(attempts=1))).explanations.study("pe_swin_t", "p17")

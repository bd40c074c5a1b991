"""The form of an upload: what is sooner there, and never what the server does not read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from standin.wheel import require_scene

require_scene()

from VPTCTLib.logic import study_upload
from VPTCTLib.logic.study_upload import form_of_upload, upload_in_words
from VPTCTLib.transport.link_speed import LinkSpeed

BOTH = ("twelve_bits", "differences")
MEGABYTES = 1e6


@pytest.mark.parametrize(
    ("bytes_per_second", "nearby", "form"),
    [
        (None, False, "differences"),  # of the unknown link the slow one: it costs less to be wrong
        (None, True, "twelve_bits"),
        (12 * MEGABYTES, False, "differences"),  # 100 Mbit/s
        (110 * MEGABYTES, False, "twelve_bits"),  # 1 Gbit/s
        (12 * MEGABYTES, True, "differences"),  # a tunnel ends on this computer, too
        (50 * MEGABYTES, False, "differences"),
    ],
)
def test_differences_where_the_link_is_slow(bytes_per_second: float | None, nearby: bool, form: str) -> None:
    assert form_of_upload(BOTH, bytes_per_second, nearby=nearby) == form


@pytest.mark.parametrize("speed", [None, 1e6, 1e9])
def test_a_server_gets_no_form_that_it_did_not_offer(speed: float | None) -> None:
    assert form_of_upload((), speed, nearby=False) == ""
    assert form_of_upload(("eight_bits",), speed, nearby=True) == ""
    for only in BOTH:
        assert form_of_upload(("eight_bits", only), speed, nearby=False) == only


def test_the_latest_upload_tells_how_fast_a_link_is_but_a_small_one_tells_nothing() -> None:
    link = LinkSpeed()
    assert link.bytes_per_second is None
    link.learn(30_000_000, 0.25)
    assert link.bytes_per_second == 120 * MEGABYTES
    link.learn(999_999, 1.0)
    link.learn(30_000_000, 0.0)
    assert link.bytes_per_second == 120 * MEGABYTES
    link.learn(16_000_000, 1.6)
    assert link.bytes_per_second == 10 * MEGABYTES


@pytest.mark.parametrize(("form", "words"), [("twelve_bits", "about 118 MB"), ("differences", "about 79 MB")])
def test_how_much_goes_is_told_of_the_form_in_which_it_goes(
    form: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_upload, "geometry_of", lambda volume: volume)
    study = SimpleNamespace(shape=(300, 512, 512))  # 78.6 million voxels, of 1.5 bytes or 1
    assert upload_in_words(study, None, form) == f"{words}, no names"

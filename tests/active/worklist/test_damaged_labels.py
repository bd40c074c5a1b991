"""Studies whose newest label cannot be read: it is not known as what, but labelled they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from made_up_site import MadeUpSite

from vpt_plugin.active import worklist


def test_a_study_whose_only_label_is_damaged_is_not_free_and_is_told(
    make_site: Callable[..., MadeUpSite], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site([f"p{number:02d}" for number in range(40)])
    site.score(site.publish())
    for number in range(38):
        folder = site.root / "labels" / "final" / f"p{number:02d}"
        folder.mkdir(parents=True)
        (folder / "nodule.0001.json").write_text("{")
    chosen: list[int] = []
    choose = worklist.choose

    def counted(*arguments: object, **said: object) -> object:
        chosen.append(1)
        return choose(*arguments, **said)  # type: ignore[arg-type]

    monkeypatch.setattr(worklist, "choose", counted)
    ranked = site.worklist().ranked(site.wish(n=40))
    assert sorted(each.study for each in ranked.proposals) == ["p38", "p39"]
    assert (ranked.state.counts.free, ranked.state.counts.labelled) == (2, 38)
    assert any("the newest label of 38 studies cannot be read" in each for each in ranked.warnings)
    chosen.clear()
    (given,) = site.worklist().next(site.wish(strategy="random")).proposals
    assert given.study in ("p38", "p39")
    assert len(chosen) == 1  # others wait meanwhile


def test_a_study_whose_newest_label_is_damaged_is_not_given_to_a_second_reader(
    make_site: Callable[..., MadeUpSite],
) -> None:
    site = make_site(["p00", "p01"])
    site.label("p00", reader="otto")
    assert site.worklist(double_read=1).next(site.wish()).proposals[0].reading == "second"
    (site.root / "labels" / "final" / "p01").mkdir(parents=True)
    (site.root / "labels" / "final" / "p01" / "nodule.0001.json").write_text("{")
    (site.root / "labels" / "final" / "p00" / "nodule.0002.json").write_text("{")
    (site.root / "labels" / "worklist" / "leases.json").unlink()
    (site.root / "labels" / "worklist" / "history.jsonl").unlink()
    offer = site.worklist(double_read=1).next(site.wish())
    assert offer.proposals == ()
    assert any("`vpt labels check` names the files" in each for each in offer.warnings)

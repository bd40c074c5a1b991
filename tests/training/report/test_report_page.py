from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vpt_plugin.models.conformal_record import NEARLY, PROMISE, ConformalRecord, ConformalScores
from vpt_plugin.training.coverage import coverage_over_splits
from vpt_plugin.training.metrics import FIGURES
from vpt_plugin.training.report import ReportFacts, ReportStudy, write_report
from vpt_plugin.training.report.certainty import decisions_section

MakeFacts = Callable[..., ReportFacts]
WITHOUT_END = {"meta", "img", "br"}


@dataclass
class Page(HTMLParser):
    """What a browser would make of a page: its elements, its text and its tables' rows."""

    text: str = ""
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    style: str = ""
    open_: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in WITHOUT_END:
            self.open_.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open_.pop() == tag, "elements end in the order in which they began"

    def handle_data(self, data: str) -> None:
        if self.open_[-1:] == ["style"]:
            self.style += data
            return
        self.text += data
        if self.open_[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data

    def row(self, title: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == title)


def read(report: Path) -> Page:
    page = Page()
    page.feed(report.read_text(encoding="utf-8"))
    page.close()
    assert not page.open_
    return page


@pytest.fixture(scope="session")
def facts(make_facts: MakeFacts) -> ReportFacts:
    return make_facts(18, findings=2, folds=2)


@pytest.fixture(scope="session")
def page(facts: ReportFacts, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return read(write_report(facts, tmp_path_factory.mktemp("report")))


def test_the_numbers_are_those_of_the_card(facts: ReportFacts, page: Page) -> None:
    told = [row for row in page.rows if len(row) == 3]
    for finding in facts.card.findings:
        for name, figure in FIGURES.items():
            cells = []
            for level, noun in (("study", "studies"), ("clip", "clips")):
                it = facts.card.metrics[level][finding][name]
                assert not math.isnan(it.value)
                low, high = (f"{end:.3f}".replace("nan", "n/a") for end in it.ci95)
                cells.append(f"{it.value:.3f} [{low}, {high}] ({it.n} {noun})")
            title = figure.title if figure.title.startswith("AU") else figure.title.capitalize()
            assert [title, *cells] in told
        assert f"Present from a probability of {facts.card.threshold(finding):.3f} on" in page.text


def test_it_says_what_is_served_and_why_then_warns_and_then_shows_figures(
    facts: ReportFacts, page: Page
) -> None:
    served, why, warning, figures, data, settings, again = (
        page.text.index(words)
        for words in (
            "Published to be served.", facts.decision, facts.warnings[0], "How good it is", "Data",
            "Settings",
            "vpt finetune labels/manifest.csv --task nodule --model tiny --set epochs=12",
        )
    )  # fmt: skip
    assert "What is served by now: vpt versions list." in page.text
    assert served < why < warning < figures < data < settings < again
    assert page.row("too few slices") == ["too few slices", "2"]
    assert ["side", "finding", "present", "absent"] in page.rows
    assert ["train", "Pulmonary embolism", "60", "58"] in page.rows
    assert page.row("gain")[1].startswith("+")
    assert page.row("labels")[1] == "b" * 64


def test_the_comparison_is_told_once(facts: ReportFacts, page: Page) -> None:
    assert facts.comparison is not None
    assert page.text.count(facts.comparison.sentence()) == 1


def test_with_folds_it_says_that_the_version_itself_was_not_validated(facts: ReportFacts, page: Page) -> None:
    assert "out of fold: 2 networks" in page.text
    best = [max(curve.validation_auroc) for curve in facts.curves[:2]]
    assert f"Within the folds the mean AUROC over the findings was {best[0]:.3f}, {best[1]:.3f};" in page.text


@pytest.mark.parametrize("folds", [False, True])
def test_it_says_what_an_error_rate_means_and_with_folds_that_it_holds_only_nearly(
    facts: ReportFacts, folds: bool
) -> None:
    scores = ConformalScores.of([0.6, 0.7, 0.9], [0.1, 0.2, 0.4])
    record = ConformalRecord(
        {"lung_nodule": scores}, folds, {"lung_nodule": coverage_over_splits(scores, splits=2)}
    )
    said = str(decisions_section(replace(facts, card=replace(facts.card, conformal=record)), "lung_nodule"))
    assert PROMISE in said
    assert (NEARLY in said) == folds


def test_nothing_is_loaded_or_run(page: Page) -> None:
    assert {name for name, _ in page.elements} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "b", "div", "ul", "li",
        "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "pre",
    }  # fmt: skip
    attributes = {key for _, given in page.elements for key in given}
    assert attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "src", "alt"}
    sources = [given["src"] for name, given in page.elements if name == "img"]
    assert sources
    assert all(source is not None and source.startswith("data:image/png;base64,") for source in sources)
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_the_policy_allows_the_style_of_the_page_and_no_other(page: Page) -> None:
    policy = next(g["content"] for _, g in page.elements if g.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy is not None
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'", "base-uri 'none'",
        "form-action 'none'",
    ]  # fmt: skip


def test_names_and_texts_of_a_site_stay_text(make_facts: MakeFacts, tmp_path: Path) -> None:
    hostile = "<script src=https://example.org/x.js></script><img onerror=alert(1)> \"' & $x^{ 研究"
    facts = make_facts(4)
    facts = replace(
        facts,
        studies=tuple(replace(study, name=hostile, patient=hostile + study.name) for study in facts.studies),
        card=replace(facts.card, code_version=hostile, counts={"left_out": {hostile: 1}, hostile: hostile}),
        task=replace(facts.task, title=hostile),
        curves=tuple(replace(curve, title="") for curve in facts.curves),
        decision=hostile, source=hostile, warnings=(hostile,), notes=(hostile,), facts={hostile: hostile},
    )  # fmt: skip
    page = read(write_report(facts, tmp_path))
    assert page.text.count(hostile) >= 10
    assert "script" not in {name for name, _ in page.elements}
    assert not any("onerror" in given for _, given in page.elements)


def test_what_is_undefined_is_said_to_be_and_not_drawn(make_facts: MakeFacts, tmp_path: Path) -> None:
    page = read(write_report(make_facts(1), tmp_path))
    assert page.row("AUROC")[1] == "n/a (1 study)"
    # Of one patient nothing can be concluded about others: the figure has no interval.
    assert re.fullmatch(r"0\.\d{3} \[n/a, n/a\] \(1 study\)", page.row("Brier score")[1])
    assert "n/a: all validation studies are present for lung_nodule." in page.text
    assert "nan" not in page.text
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "lung_nodule-roc.png" not in drawn
    assert "lung_nodule-probabilities.png" in drawn


def test_a_finding_that_nobody_labelled_has_no_figures_and_the_other_one_has(
    make_facts: MakeFacts, tmp_path: Path
) -> None:
    facts = make_facts(6, findings=2)

    def forget(study: ReportStudy) -> ReportStudy:
        return replace(study, states=np.array([study.states[0], np.nan]))

    metrics = {"study": {"lung_nodule": facts.card.metrics["study"]["lung_nodule"]}}
    card = replace(
        facts.card, metrics=metrics, thresholds={"lung_nodule": 0.5, "pulmonary_embolism": math.nan}
    )
    page = read(write_report(replace(facts, card=card, studies=tuple(map(forget, facts.studies))), tmp_path))
    assert "n/a: of no validation study it is known whether pulmonary_embolism is present." in page.text
    assert "Threshold: n/a, there is nothing to choose it from" in page.text
    drawn = {path.name.split("-")[0] for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"lung_nodule", "learning"}


def test_phantoms_are_never_forgotten(make_facts: MakeFacts, tmp_path: Path) -> None:
    facts = make_facts(4)
    page = read(write_report(replace(facts, card=replace(facts.card, synthetic=True)), tmp_path))
    assert "Never use it on patients" in page.text


def test_the_pictures_in_the_page_are_the_files_beside_it(make_facts: MakeFacts, tmp_path: Path) -> None:
    page = read(write_report(make_facts(5), tmp_path))
    inside = [
        base64.b64decode((given["src"] or "").split(",", 1)[1])
        for name, given in page.elements
        if name == "img"
    ]
    beside = [path.read_bytes() for path in (tmp_path / "figures").iterdir()]
    assert sorted(inside) == sorted(beside)
    assert all(given["alt"] for name, given in page.elements if name == "img")


def test_a_share_without_an_error_is_told_with_the_interval_that_resampling_cannot_show(
    make_facts: MakeFacts, tmp_path: Path
) -> None:
    facts = make_facts(6, skill=30)
    sensitivity = facts.card.metrics["study"]["lung_nodule"]["sensitivity"]
    assert sensitivity.to_json() == {"value": 1.0, "ci95": [None, None], "n": 6}
    page = read(write_report(facts, tmp_path))
    assert "1.000 [n/a, n/a] (6 studies)" in page.text
    # The square root of 0.025, and its fourth root.
    assert "Of 2 present studies none is missed." in page.text
    assert "a sensitivity from 0.16 to 1.00" in page.text
    assert "Of 4 absent studies none is a false alarm." in page.text
    assert "a specificity from 0.40 to 1.00" in page.text

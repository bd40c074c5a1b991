"""The report of an experiment: what it says, what it hides, and that it needs nothing else."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_experiment import make_experiment

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.published import CITATION, published_table
from vpt_plugin.study.report import published_report, write_report

WITHOUT_END = {"meta", "img", "br"}
Make = Callable[..., Path]


@dataclass
class Page(HTMLParser):
    """What a browser would make of a page: its elements, its text and its tables' rows."""

    text: str = ""
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
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

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open_.pop() == tag, "elements end in the order in which they began"

    def handle_data(self, data: str) -> None:
        if self.open_[-1:] != ["style"]:
            self.text += data
        if self.rows and {"td", "th"} & set(self.open_):
            self.rows[-1][-1] += data

    @classmethod
    def read(cls, report: Path) -> Page:
        page = cls()
        page.feed(report.read_text(encoding="utf-8"))
        page.close()
        assert not page.open_
        return page

    def row(self, *first: str) -> list[str]:
        return next(row for row in self.rows if row[: len(first)] == list(first))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A small experiment: two networks, one share of the training side, one seed."""
    few = {"networks": ("slow_r50", "swin_t"), "arms": "{100: [none, video]}", "seeds": (0,)}

    def made(**settings: Any) -> Path:
        return make_experiment(tmp_path, **{**few, **settings})

    return made


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three networks, two shares and two seeds, with learning rates searched."""
    out = make_experiment(tmp_path_factory.mktemp("standard"), rates=("1.0e-3", "1.0e-4"))
    return write_report(out)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_report(tmp_path_factory.mktemp("published"))


def is_slow(cell: Cell) -> bool:
    return cell.network == "slow_r50"


def test_the_published_report_gives_the_means_of_the_paper(published: Path) -> None:
    page = Page.read(published)
    assert (
        "Video pretraining lifts the mean AUROC of seven 3D networks from 0.573 to 0.719: +0.146."
        in page.text
    )
    means = {row[1]: row[2:5] for row in page.rows if row[0] == "mean of 7 3D networks" and row[1:]}
    assert set(means) == {"RSNA-PE 100 %", "RSNA-PE 10 %", "RSNA-PE 1 %", "LIDC-IDRI 100 %", "LIDC-IDRI 10 %"}
    assert page.row("mean of 7 3D networks", "RSNA-PE 100 %")[2:5] == ["0.719", "0.573", "+0.146 [n/a]"]
    assert page.row("mean of 7 3D networks", "LIDC-IDRI 100 %")[4] == "+0.124 [n/a]"
    assert CITATION in page.text


def test_every_published_figure_is_in_its_table_with_its_interval(published: Path) -> None:
    page = Page.read(published)
    assert "0.902 [0.869, 0.931]" in page.row("Swin-T", "none")[2:] or any(
        row[1:3] == ["video/image", "0.902 [0.869, 0.931]"] for row in page.rows
    )
    shown = [cell.rstrip("†‡") for row in page.rows for cell in row]
    for row in published_table():
        low, high = row.auroc.ci95
        assert f"{row.auroc.value:.3f} [{low:.3f}, {high:.3f}]" in shown
    assert "the paper prints the interval [0.572, 0.560], which cannot be" in page.text


def test_the_answer_comes_first_in_a_sentence_with_its_paired_interval(standard: Path) -> None:
    text = Page.read(standard).text
    (question,) = re.findall(r"Does video pretraining help here\?(.*?)What was run", text, re.DOTALL)
    assert re.search(
        r"LIDC-IDRI, 100 % of the training side: Yes\.Video pretraining lifts the mean AUROC of two 3D "
        r"networks from 0\.\d{3} to 0\.\d{3}: \+0\.\d{3} \[\+0\.\d{3}, \+0\.\d{3}\]",
        question,
    )


def test_table_1_has_ours_above_the_published_figure(standard: Path) -> None:
    page = Page.read(standard)
    row = page.row("Video Swin-T", "none")
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]published 0\.581 \[0\.493, 0\.663\]", row[2])
    (gain,) = [row for row in page.rows if row[:2] == ["Video Swin-T", "LIDC-IDRI 100 %"]]
    assert gain[-1] == "+0.302"


def test_published_means_beside_ours_are_of_the_same_networks(standard: Path) -> None:
    page = Page.read(standard)
    # Slow R50 0.544 - 0.500 and Swin-T 0.883 - 0.581, the two that were run.
    assert page.row("mean of 2 3D networks", "LIDC-IDRI 100 %")[-1] == f"{(0.044 + 0.302) / 2:+.3f}"


def test_studies_are_counted_by_side_and_state(standard: Path) -> None:
    page = Page.read(standard)
    assert page.row("LIDC-IDRI", "test") == [
        "LIDC-IDRI", "test", "30", "30", "lung nodule", "15 present, 15 absent",
    ]  # fmt: skip


def test_nothing_comes_from_elsewhere_and_nothing_can_run(standard: Path, published: Path) -> None:
    for report in (standard, published):
        page, source = Page.read(report), report.read_text(encoding="utf-8")
        assert not {"script", "link", "iframe", "object", "embed", "img"} & {tag for tag, _ in page.elements}
        for _, attributes in page.elements:
            for name, value in attributes.items():
                assert not name.startswith("on")
                if name in ("src", "href", "xlink:href"):
                    assert (value or "").startswith("#")
        assert not re.search(r"url\((?!#)|@import", source)
        (policy,) = [a["content"] or "" for t, a in page.elements if a.get("http-equiv")]
        assert "default-src 'none'" in policy
        assert "script" not in policy


def test_drawings_stand_in_the_page_as_they_stand_beside_it(standard: Path) -> None:
    page = standard.read_text(encoding="utf-8")
    for name in ("figure2", "figure3", "figureS"):
        drawing = (standard.parent / f"{name}.svg").read_text(encoding="utf-8")
        assert drawing[drawing.index("<svg") :] in page
        assert (standard.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_title_and_a_failure_are_text_and_never_elements(make: Make) -> None:
    out = make(
        title="<script>alert(1)</script> & more",
        failing=lambda cell: 'an <img src=x onerror=alert(1)> & a "quote"' if is_slow(cell) else "",
    )
    page = Page.read(write_report(out))
    assert "<script>alert(1)</script> & more" in page.text
    assert "an <img src=x onerror=alert(1)>" in page.text
    assert not {"script", "img"} & {tag for tag, _ in page.elements}


def test_no_study_patient_or_path_is_named_even_where_a_failure_names_them(make: Make) -> None:
    said = "study-003: cannot be read: /data/ct/study-003/0001.dcm is cut short, patient-003 too"
    report = write_report(make(failing=lambda cell: said if is_slow(cell) else ""))
    for file in report.parent.iterdir():
        text = file.read_bytes()
        assert b"study-0" not in text
        assert b"patient-0" not in text
        assert b"/data" not in text
        assert str(report.parent.parent).encode() not in text
    assert "(a study): cannot be read: (a path) is cut short, (a study) too" in Page.read(report).text


def test_where_the_manifest_is_gone_no_reason_is_told_that_could_name_a_study(
    make: Make, tmp_path: Path
) -> None:
    out = make(failing=lambda cell: "study-003: cannot be read." if is_slow(cell) else "")
    (tmp_path / "manifest.csv").unlink()
    text = Page.read(write_report(out)).text
    assert "study-003" not in text
    assert "it is in the training's failure.json" in text
    assert "no longer where it was" in text


def test_moved_studies_are_not_counted_and_not_named(make: Make, tmp_path: Path) -> None:
    out = make(failing=lambda cell: "study-003: cannot be read." if is_slow(cell) else "")
    (tmp_path / "study-003.nrrd").unlink()
    text = Page.read(write_report(out)).text
    assert "study-003" not in text
    assert "(a study): cannot be read." in text


def test_failed_missing_and_collapsed_trainings_are_told_and_are_n_a(make: Make) -> None:
    out = make(
        networks=("slow_r50", "swin_t", "resnet18_2d"),
        failing=lambda cell: "the disk is full." if is_slow(cell) and cell.arm == "none" else "",
        missing=lambda cell: cell.network == "resnet18_2d",
        collapsed=lambda cell: cell.network == "swin_t" and cell.arm == "none",
    )
    page = Page.read(write_report(out))
    assert "1 training of 6 failed" in page.text
    assert "2 trainings of 6 have not been run yet" in page.text
    assert "1 training of 3 collapsed" in page.text
    assert page.row("lidc-slow_r50-none-100-s0") == ["lidc-slow_r50-none-100-s0", "the disk is full."]
    assert page.row("Slow R50", "none")[2].startswith("n/a")
    assert page.row("Video Swin-T", "none")[2].startswith("0.500 [n/a]†")
    assert "One seed: every network was trained once." in page.text


def test_phantoms_are_a_warning_before_anything_else(make: Make) -> None:
    text = Page.read(write_report(make(synthetic=True))).text
    assert text.index("These are phantoms.") < text.index("Does video pretraining help here?")


def test_few_test_studies_are_a_warning(standard: Path) -> None:
    assert "LIDC-IDRI: the test side has only 30 studies." in Page.read(standard).text


def test_without_any_result_with_video_nothing_is_answered(make: Make) -> None:
    text = Page.read(write_report(make(missing=lambda cell: cell.arm == "video"))).text
    assert re.search(r"here\?n/a: nothing that could answer it has a result", text)


def test_a_plan_without_video_says_so_and_answers_for_ct_pretraining(make: Make) -> None:
    page = Page.read(write_report(make(arms="{100: [none, ct]}")))
    assert "This plan cannot say: no network of it began from video or images." in page.text
    assert re.search(r"CT pretraining \w+ the mean AUROC of two 3D networks from", page.text)
    assert page.row("trainings")[1] == "4 of 4 for the table, 2 of 2 of CT pretraining"
    assert page.row("other", "train")[2] == "40"


def test_gains_over_ct_pretraining_have_their_figure_and_table(make: Make) -> None:
    report = write_report(make(arms="{100: [none, video, ct, video+ct]}"))
    assert (report.parent / "figure4.svg").exists()
    text = Page.read(report).text
    assert "Video or image pretraining over CT pretraining" in text
    assert "Video or image, then CT pretraining over CT pretraining alone" in text


def test_while_some_networks_are_still_to_be_trained_single_ones_answer(make: Make) -> None:
    text = Page.read(write_report(make(missing=is_slow))).text
    assert re.search(r"here\?3D networks.*Video pretraining lifts the AUROC of Video Swin-T from", text)


def test_a_note_that_holds_for_several_rows_is_told_once(make: Make) -> None:
    text = Page.read(write_report(make(missing=is_slow))).text
    assert "not done yet: Slow R50, none, LIDC-IDRI 100 %; Slow R50, video/image, LIDC-IDRI 100 %" in text


def test_a_damaged_plan_is_refused_with_the_file(make: Make) -> None:
    out = make()
    (out / "plan.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"plan\.json cannot be read"):
        write_report(out)


def test_an_experiment_that_has_only_begun_has_a_report(make: Make) -> None:
    report = write_report(make(missing=lambda cell: True))
    assert "4 trainings of 4 have not been run yet" in Page.read(report).text
    assert "n/a: no training is done." in Page.read(report).text
    assert not list(report.parent.glob("figure[34S].*"))


def test_figures_that_are_no_longer_there_go(make: Make) -> None:
    out = make(networks=("swin_t", "resnet18_2d"))
    report = write_report(out)
    assert (report.parent / "figure3.svg").exists()
    for result in out.glob("cells/*resnet18_2d*/result.json"):
        result.unlink()
    write_report(out)
    assert not (report.parent / "figure3.svg").exists()


def test_the_same_experiment_gives_the_same_files(make: Make) -> None:
    report = write_report(make())
    first = {file.name: file.read_bytes() for file in report.parent.iterdir()}
    write_report(report.parent.parent)
    assert {file.name: file.read_bytes() for file in report.parent.iterdir()} == first


def test_learning_rates_are_told_with_what_was_tried(standard: Path) -> None:
    page = Page.read(standard)
    assert page.row("Slow R50", "none", "LIDC-IDRI")[3:] == ["1e-3", "1e-3: 0.700, 1e-4: 0.710"]


def test_the_cost_is_told_in_device_hours(standard: Path) -> None:
    page = Page.read(standard)
    # 3 networks, 2 arms, 2 shares, 2 seeds, and 2 rates searched of each network and arm; half an hour each.
    assert page.row("all") == ["all", "", "36", "18.00"]
    assert page.row("Slow R50", "cpu") == ["Slow R50", "cpu", "12", "6.00"]


def test_methods_tell_what_was_run(standard: Path) -> None:
    text = Page.read(standard).text
    for said in (
        "40 for training, 10 for validation, 30 for testing",
        "in the HU window from -1350 to 150",
        "Slow R50 (clips of 32 slices of 224 x 224 pixels)",
        "They learned from 100 and 10 % of the studies",
        "epochs of 25 steps, 10 at most",
        "chosen from 1e-3 and 1e-4",
        "the mean over 2 seeds",
        "1,000 bootstrap resamples of the test patients",
        "VPTCT 0.1.0, PyTorch 2.13.0, on cpu",
    ):
        assert said in text, said


def test_the_tables_lie_beside_the_page_as_csv(standard: Path) -> None:
    folder = standard.parent
    with (folder / "table1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert {row["source"] for row in rows} == {"ours"}
    with (folder / "differences.csv").open(encoding="utf-8", newline="") as file:
        assert {"video_gain", "best_3d_over_best_2d"} <= {row["claim"] for row in csv.DictReader(file)}


def test_a_folder_without_a_plan_has_a_report_of_its_results(make: Make) -> None:
    out = make()
    (out / "plan.json").unlink()
    text = Page.read(write_report(out)).text
    assert "An experiment on pretraining" in text
    assert "Video pretraining lifts" in text

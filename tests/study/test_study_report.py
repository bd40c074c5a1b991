"""The report of an experiment: what it says, what it hides, and that it needs nothing else."""

from __future__ import annotations

import csv
import errno
import math
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_experiment import make_experiment
from typer.testing import CliRunner

from vpt_plugin.cli.app import app
from vpt_plugin.errors import ConfigurationError, DivergedError
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.figures import write_figures
from vpt_plugin.study.figures_canvas import StudyFigure
from vpt_plugin.study.figures_ct import gain_over_ct_figure
from vpt_plugin.study.means import mean_rows
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.published import CITATION, published_table
from vpt_plugin.study.report import published_report, write_report
from vpt_plugin.study.report_facts import StudyFacts
from vpt_plugin.study.report_page import study_page
from vpt_plugin.study.report_reasons import HIDDEN
from vpt_plugin.study.results import StudyResults
from vpt_plugin.study.rows import in_figures
from vpt_plugin.study.runner_cell import failure_of
from vpt_plugin.study.runner_orders import waits_for
from vpt_plugin.training.metrics.bootstrap import PatientBootstrap

WITHOUT_END = {"meta", "img", "br"}
# Ways in which an error may name somebody.
NAMING = (
    "study-003: cannot be read: /data/ct/study-003/0001.dcm is cut short, patient-003 too.",
    "/data/St Mary Hospital/MR 123/scan.dcm is damaged.",
    r"C:\Users\Jane Doe\study 7\x.dcm cannot be read.",
    "series 1.2.840.113619.2.55.3.604688119 lacks slices.",
    "file IM000123_DOE^JANE.dcm is damaged, PatientID 00482913 is on two sides.",
)
Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("disk_without_waiting")


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
        return cls.of(report.read_text(encoding="utf-8"))

    @classmethod
    def of_words(cls, out: Path) -> Page:
        """The page of a study without its figures, which take most of the time."""
        return cls.of(study_page(StudyFacts.read(out), (), published_table()))

    @classmethod
    def of(cls, source: str) -> Page:
        page = cls()
        page.feed(source)
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
def published(tmp_path_factory: pytest.TempPathFactory, published_figures: tuple[StudyFigure, ...]) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vpt_plugin.study.report.study_figures", lambda *_: published_figures)
        return published_report(tmp_path_factory.mktemp("published"))


def raised(error: Exception) -> Exception:
    """The same error with a traceback, as it would be caught."""
    try:
        raise error
    except type(error) as caught:
        return caught


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
    assert page.row("mean of 7 3D networks", "RSNA-PE 100 %")[2:5] == ["0.719", "0.573", "+0.146 (1)"]
    assert page.row("mean of 7 3D networks", "LIDC-IDRI 100 %")[4] == "+0.124 (1)"
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


def test_gains_without_an_interval_are_no_verdict_near_chance_and_hardly_one_where_they_are_small(
    published: Path,
) -> None:
    text = Page.read(published).text
    for said in (
        "RSNA-PE, 100 % of the training side: Higher.Video pretraining lifts",
        # From 0.498 to 0.504, then from 0.804 to 0.797 and from 0.772 to 0.783.
        "RSNA-PE, 1 % of the training side: No verdict, both are near chance.Video pretraining lifts",
        "LIDC-IDRI, 100 % of the training side: Hardly lower.Image pretraining lowers",
        "LIDC-IDRI, 10 % of the training side: Hardly higher.Image pretraining lifts",
        "+0.006.Note: 3 of the 14 results are of a network that gives all studies one answer.",
    ):
        assert said in text, said


def test_every_note_below_the_differences_says_by_its_number_whose_it_is(published: Path) -> None:
    page = Page.read(published)
    assert [row[4] for row in page.rows if row[0] == "mean of 7 3D networks"][:5] == [
        "+0.146 (1)", "+0.074 (1)", "+0.006 (2)", "+0.124 (1)", "+0.077",
    ]  # fmt: skip
    assert (
        "(1) 1 of the 14 results is of a network that gives all studies one answer"
        "(2) 3 of the 14 results are of a network that gives all studies one answer"
    ) in page.text


def test_what_no_difference_has_is_no_column(standard: Path, published: Path) -> None:
    titles = [row for row in Page.read(published).rows if row[0] == "networks"]
    assert titles
    assert all(row == ["networks", "data", "AUROC", "over", "gain"] for row in titles)
    ours = [row for row in Page.read(standard).rows if row[:2] == ["networks", "data"]]
    assert all(row[4:6] == ["gain, paired 95 % interval", "above 0 in"] for row in ours)


def test_a_report_says_what_it_is_for_and_the_published_one_whom_to_cite_before_anything_else(
    standard: Path, published: Path
) -> None:
    for report, question in ((standard, "Does video pretraining help"), (published, "What the paper found")):
        before = Page.read(report).text.partition(question)[0]
        assert "For research only; not a medical device." in before
        assert (CITATION in before) == (report == published)


def test_figures_have_the_numbers_by_which_they_are_called_elsewhere(standard: Path) -> None:
    text = Page.read(standard).text
    for title in (
        "Figure 2. With and without pretraining. ",
        "Figure 3. The best 3D against the best 2D network. ",
        "Figure S. Found here against published. ",
    ):
        assert title in text


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


def test_a_title_is_text_and_never_an_element(make: Make) -> None:
    page = Page.of_words(make(title="<script>alert(1)</script> & more"))
    assert "<script>alert(1)</script> & more" in page.text
    assert not {"script", "img"} & {tag for tag, _ in page.elements}


def test_no_study_patient_or_path_is_named_even_where_a_failure_names_them(make: Make) -> None:
    report = write_report(make(failing=lambda cell: " ".join(NAMING) if is_slow(cell) else ""))
    named = ("study-0", "patient-0", "/data", "Mary", "Jane", "1.2.840", "DOE", "00482913")
    for file in report.parent.iterdir():
        text = file.read_bytes()
        assert not [each for each in (*named, str(report.parent.parent)) if each.encode() in text]
    assert "failed: the reason may name a study; it is in the training's failure.json" in (
        Page.read(report).text
    )


def test_where_the_manifest_is_gone_nothing_is_counted(make: Make, tmp_path: Path) -> None:
    out = make()
    (tmp_path / "manifest.csv").unlink()
    assert "no longer where it was; nothing was counted" in Page.of_words(out).text


def test_moved_studies_are_not_counted_and_not_named(make: Make, tmp_path: Path) -> None:
    out = make()
    (tmp_path / "study-003.nrrd").unlink()
    text = Page.of_words(out).text
    assert "no longer where it was; nothing was counted" in text
    assert "study-003" not in text


def test_of_single_reasons_those_that_hold_no_name_are_told(make: Make) -> None:
    out = make(arms="{100: [none, ct]}", failing=lambda cell: "?" if is_slow(cell) else "")
    cells = {cell.id: cell for cell in Plan.read(str(out.parent / "plan.yaml")).cells()}
    none, after = cells["lidc-slow_r50-none-100-s0"], cells["lidc-slow_r50-ct-100-s0"]
    pretraining = cells[after.start_cell]
    diverged = failure_of(pretraining, raised(DivergedError("the gradient of Jane is no finite number")))
    CellFolder.of(out, pretraining.id).write_failure(diverged)
    full = failure_of(none, raised(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/Jane Doe")))
    CellFolder.of(out, none.id).write_failure(full)
    waits = waits_for(after, {pretraining.id: diverged})
    assert waits is not None
    CellFolder.of(out, after.id).write_failure(waits)
    page = Page.of_words(out)
    assert page.row(pretraining.id)[1] == "the loss was no longer a number; try lower learning rates."
    assert page.row(none.id)[1] == "the disk is full."
    assert page.row(after.id)[1] == f"not run: it needs {pretraining.id}, which failed."
    assert "seed 0 failed: the disk is full: Slow R50, none" in page.text
    assert "Jane" not in page.text


def test_failed_missing_and_collapsed_trainings_are_told_and_are_n_a(make: Make) -> None:
    out = make(
        networks=("slow_r50", "swin_t", "resnet18_2d"),
        failing=lambda cell: "?" if is_slow(cell) and cell.arm == "none" else "",
        missing=lambda cell: cell.network == "resnet18_2d",
        collapsed=lambda cell: cell.network == "swin_t" and cell.arm == "none",
    )
    page = Page.of_words(out)
    assert "1 training of 6 failed" in page.text
    assert "2 trainings of 6 have not been run yet" in page.text
    assert "1 training of 3 collapsed" in page.text
    assert page.row("lidc-slow_r50-none-100-s0")[1] == HIDDEN
    assert page.row("Slow R50", "none")[2].startswith("n/a")
    assert page.row("Video Swin-T", "none")[2].startswith("0.500 [n/a]†")
    assert "One seed: every network was trained once." in page.text


def test_phantoms_are_a_warning_before_anything_else(make: Make) -> None:
    text = Page.of_words(make(synthetic=True)).text
    assert text.index("These are phantoms.") < text.index("Does video pretraining help here?")


def test_few_test_studies_are_a_warning(standard: Path) -> None:
    assert "LIDC-IDRI: the test side has only 30 studies." in Page.read(standard).text


def test_test_studies_that_were_left_out_are_counted_with_the_reason(make: Make) -> None:
    out = make()
    for number, result in enumerate(StudyResults.read(out).finals):
        file = CellFolder.of(out, result.cell.id)
        lacks = {"cannot be read": number, "the same scan as another study": 2}
        file.write_result(replace(result, left_out=lacks, micro_batch=4), file.answers())
    said = "5 studies of the test side left out: cannot be read (3); the same scan as another study (2)."
    assert f"LIDC-IDRI: {said}" in Page.of_words(out).text
    StudyResults.read(out).write_tables(out)
    with (out / "results.csv").open(encoding="utf-8", newline="") as table:
        rows = [(row["test_studies_left_out"], row["micro_batch"]) for row in csv.DictReader(table)]
    assert rows == [("2", "4"), ("3", "4"), ("4", "4"), ("5", "4")]


def test_without_any_result_with_video_nothing_is_answered(make: Make) -> None:
    text = Page.of_words(make(missing=lambda cell: cell.arm == "video")).text
    assert re.search(r"here\?n/a: nothing that could answer it has a result", text)


def test_a_plan_without_video_says_so_and_answers_for_ct_pretraining(make: Make) -> None:
    page = Page.of_words(make(arms="{100: [none, ct]}"))
    assert "This plan cannot say: no network of it began from video or images." in page.text
    assert re.search(r"CT pretraining \w+ the mean AUROC of two 3D networks from", page.text)
    assert page.row("trainings")[1] == "4 of 4 for the table, 2 of 2 of CT pretraining"
    assert page.row("other", "train")[2] == "40"


def test_gains_over_ct_pretraining_have_their_figure_and_table(make: Make) -> None:
    out = make(arms="{100: [none, video, ct, video+ct]}")
    facts = StudyFacts.read(out)
    assert gain_over_ct_figure(facts.rows, facts.differences) is not None
    text = Page.of_words(out).text
    assert "Video or image pretraining over CT pretraining" in text
    assert "Video or image, then CT pretraining over CT pretraining alone" in text


def test_while_some_networks_are_still_to_be_trained_single_ones_answer(make: Make) -> None:
    text = Page.of_words(make(missing=is_slow)).text
    assert re.search(r"here\?3D networks.*Video pretraining lifts the AUROC of Video Swin-T from", text)


def test_a_note_that_holds_for_several_rows_is_told_once(make: Make) -> None:
    text = Page.of_words(make(missing=is_slow)).text
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


def test_figures_that_are_no_longer_there_go(tmp_path: Path) -> None:
    write_figures([StudyFigure("figure3", "Best", svg="<svg/>", png=b"PNG")], tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"figure3.svg", "figure3.png"}
    write_figures([StudyFigure("figure3", "Best", missing="n/a: nothing to compare.")], tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_same_experiment_gives_the_same_files(standard: Path) -> None:
    first = {file.name: file.read_bytes() for file in standard.parent.iterdir()}
    write_report(standard.parent.parent)
    assert {file.name: file.read_bytes() for file in standard.parent.iterdir()} == first


def test_a_report_of_facts_that_were_read_reads_nothing_again(make: Make) -> None:
    out = make(missing=lambda cell: True)
    facts = StudyFacts.read(out)
    shutil.rmtree(out)
    out.mkdir()
    assert "4 trainings of 4 have not been run yet" in Page.read(write_report(out, facts)).text


def test_the_command_computes_the_table_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, init = [], PatientBootstrap.__init__

    def counted(self: PatientBootstrap, patients: Sequence[str], **settings: Any) -> None:
        drawn.append(len(patients))
        init(self, patients, **settings)

    monkeypatch.setattr(PatientBootstrap, "__init__", counted)
    monkeypatch.setattr("vpt_plugin.study.report.study_figures", lambda *_, **__: ())
    ended = CliRunner().invoke(app, ["study", "report", str(make())])
    assert ended.exit_code == 0
    assert "mean of the 3D networks" in ended.output
    # One data set, of 30 test studies.
    assert drawn == [30]


def test_below_the_networks_of_a_kind_stands_their_mean_with_the_published_one_of_the_same(
    standard: Path,
) -> None:
    facts = StudyFacts.read(standard.parent.parent)
    page = Page.read(standard)
    for arm, title, published in (("none", "none", 0.5405), ("video", "video/image", 0.7135)):
        means = {
            each.percent: each
            for each in mean_rows(facts.rows)
            if (each.kind, each.arm) == ("3d", arm)
        }  # fmt: skip
        line = next(
            row for at, row in enumerate(page.rows)
            if row[1:2] == [title] and "mean of the 3D networks" in (row[0], page.rows[at - 1][0])
        )  # fmt: skip
        # Slow R50 and Swin-T, as printed; the interval is of ours alone.
        assert line[2] == f"{in_figures(means[100].auroc)}published {published:.3f} [n/a]"
        assert not math.isnan(means[100].auroc.ci95[0])
    # A single 2D network is no mean.
    assert "mean of the 2D networks" not in page.text


def test_methods_tell_that_all_seeds_began_from_one_ct_pretraining(make: Make) -> None:
    several = Page.of_words(make(arms="{100: [none, ct]}", seeds=(3, 5))).text
    assert (
        "CT pretraining was done on other, once from each start of each network (seed 3); the trainings of "
        "all seeds began from that one" in several
    )


def test_one_seed_has_nothing_to_say_of_other_seeds_pretraining(make: Make) -> None:
    assert "CT pretraining was done on other. They" in Page.of_words(make(arms="{100: [none, ct]}")).text


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
    text = Page.of_words(out).text
    assert "An experiment on pretraining" in text
    assert "Video pretraining lifts" in text

"""Tasks: the facts of the paper, and a site's own from YAML."""

from __future__ import annotations

import pytest

from vpt_plugin.errors import TaskFileError, UnknownTaskError
from vpt_plugin.tasks import (
    TASKS,
    ClipRule,
    FindingCode,
    HUWindow,
    ReadingTask,
    get_task,
    load_task_file,
    task_file_text,
)

SOUND = """\
name: effusion
findings: [pleural_effusion]
hu_window:
  centre: 40
  width: 400
"""


def findings(text):
    return SOUND.replace("[pleural_effusion]", text)


def task_file(tmp_path, text):
    path = tmp_path / "task.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_two_tasks_of_the_paper():
    pe, nodule = TASKS["pe"], TASKS["nodule"]
    assert (pe.hu_window.low, pe.hu_window.high, pe.offset) == (-100, 900, 0.15897)
    assert (nodule.hu_window.low, nodule.hu_window.high, nodule.offset) == (-1350, 150, 0)
    assert (pe.findings, nodule.findings) == (("pulmonary_embolism",), ("lung_nodule",))
    for task in TASKS.values():
        assert task.clips.min_positive_slices == 4
        assert task.aggregation == "max"
        assert task.threshold_rule == "youden"


def test_a_clip_is_the_networks_own_length_and_the_stride_three_quarters_of_it():
    rule = ClipRule()
    assert (rule.length(32), rule.stride(32)) == (32, 24)
    assert (rule.length(24), rule.stride(24)) == (24, 18)
    assert (rule.length(1), rule.stride(1)) == (1, 1)


def test_a_stride_never_skips_slices():
    assert ClipRule(length_slices=16, stride_slices=24).stride(32) == 16
    assert ClipRule(stride_slices=8).stride(32) == 8


def test_a_short_clip_may_have_few_positive_slices(tmp_path):
    text = SOUND + "clips: {length_slices: 2, stride_slices: 2, min_positive_slices: 2}\n"
    assert load_task_file(task_file(tmp_path, text)).clips == ClipRule(2, 2, 2)
    with pytest.raises(ValueError, match="stride_slices must be at most length_slices, which is 8, not 9"):
        ReadingTask("effusion", "Effusion", ("pleural_effusion",), HUWindow(40, 400), clips=ClipRule(8, 9))


def test_a_study_needs_half_a_clip_at_least():
    assert [ClipRule().min_slices(network) for network in (32, 24, 1)] == [16, 12, 1]
    assert ClipRule(length_slices=9).min_slices(32) == 5


def test_an_unknown_task_is_told_what_there_is():
    with pytest.raises(UnknownTaskError, match=r"unknown task 'ped'; choose from nodule, pe\."):
        get_task("ped")
    extra = ReadingTask("effusion", "Effusion", ("pleural_effusion",), HUWindow(40, 400))
    assert get_task("effusion", (extra,)) is extra
    with pytest.raises(UnknownTaskError, match="effusion, nodule, pe"):
        get_task("ped", (extra,))


def test_a_short_task_file_takes_the_rest_from_the_defaults(tmp_path):
    task = load_task_file(task_file(tmp_path, SOUND))
    assert task == ReadingTask("effusion", "Effusion", ("pleural_effusion",), HUWindow(40, 400))


def test_a_full_task_file_says_everything(tmp_path):
    text = """\
# A site's own task.
name: heart
title: Heart and vessels
findings:
  - cardiomegaly
  - aortic_aneurysm
hu_window: {centre: 150, width: 700.5}
offset: 0.2
clips:
  length_slices: 16
  stride_slices: 8
  min_positive_slices: 2
aggregation: top3_mean
threshold_rule: sensitivity:0.9
"""
    assert load_task_file(task_file(tmp_path, text)) == ReadingTask(
        name="heart",
        title="Heart and vessels",
        findings=("cardiomegaly", "aortic_aneurysm"),
        hu_window=HUWindow(150, 700.5),
        offset=0.2,
        clips=ClipRule(16, 8, 2),
        aggregation="top3_mean",
        threshold_rule="sensitivity:0.9",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: the file is empty\. Fields: name, title, findings, hu_window"),
        ("- pe\n", "line 1: the file must be a set of fields"),
        ("name: [effusion\n", "line 2: is not YAML: "),
        ("name: a\x00b\n", "is not YAML: "),
        (SOUND.replace("name: effusion\n", ""), r"line 1: name is missing\. Fields: name,"),
        (SOUND.replace("hu_window:\n  centre: 40\n  width: 400\n", ""), "line 1: hu_window is missing"),
        (SOUND + "windw: 3\n", "line 6: windw is not a known field. Fields: name, title"),
        (SOUND + "name: other\n", "line 6: name is there twice"),
        (SOUND + "  height: 3\n", "line 6: hu_window.height is not a known field. Fields: centre, width."),
        (SOUND.replace("  width: 400\n", ""), r"line 4: hu_window is incomplete \(.*'width'\)"),
        (SOUND.replace("400", "wide"), "line 5: hu_window.width must be a number, not 'wide'"),
        (SOUND.replace("400", ".inf"), "line 5: hu_window.width must be a number, not inf"),
        (SOUND.replace("400", "0"), "line 5: hu_window.width cannot be used: the width .* above 0, not 0.0"),
        (SOUND.replace("400", "yes"), "line 5: hu_window.width must be a number, not True"),
        (SOUND + "offset: .nan\n", "line 6: offset must be a number, not nan"),
        (SOUND.replace("effusion\n", "PE 2\n", 1), "line 1: name cannot be used: 'PE 2' is no name"),
        (findings("pleural_effusion"), "line 2: findings must be a list of names"),
        (findings("[a, a]"), "line 2: findings cannot be used: .* each only once"),
        (findings("[]"), "line 2: findings cannot be used: .* at least one finding"),
        (SOUND + "threshold_rule: sensitivity:2\n", "line 6: threshold_rule cannot be used: .* youden"),
        (SOUND + "aggregation: median\n", "line 6: aggregation cannot be used: .* choose from max, mean"),
        (SOUND + "title: 3\n", "line 6: title must be a text, not 3"),
        (SOUND + "clips: 3\n", "line 6: clips must be a set of fields"),
        (SOUND + "clips:\n  length_slices: 16\n  stride_slices: 0\n",
         "line 8: clips.stride_slices cannot be used: stride_slices must be at least 1, not 0"),
        (SOUND + "clips: {length_slices: 1.5}\n", "line 6: clips.length_slices must be a whole number"),
        (SOUND + "clips:\n  length_slices: 8\n  stride_slices: 50\n",
         "line 8: clips.stride_slices cannot be used: .* at most length_slices, which is 8, not 50"),
        (SOUND + "clips:\n  min_positive_slices: 9\n  length_slices: 8\n",
         "line 7: clips.min_positive_slices cannot be used: .* at most length_slices, which is 8, not 9"),
        (SOUND + "clips:\n  length_slices: 2\n",
         "line 7: clips.length_slices cannot be used: min_positive_slices must be at most .* 2, not 4"),
        (SOUND.replace("effusion\n", "nodule\n", 1),
         "line 1: name cannot be used: nodule is a built-in task; take another name"),
        (SOUND + "? [a, b]\n: 1\n", r"line 6: the file has a key that is no name\. Fields: name, title"),
        (SOUND + "clips: {{a: b}: 1}\n", "line 6: clips has a key that is no name"),
        (SOUND + "offset: 2026-99-99\n", "line 6: offset cannot be used: month must be in 1..12"),
        (SOUND + "offset: !!python/object:os.system {}\n", "line 6: offset cannot be used: could not"),
    ],
)  # fmt: skip
def test_a_task_file_that_cannot_be_used_is_refused_with_its_line_and_field(tmp_path, text, message):
    with pytest.raises(TaskFileError, match=r"task\.yaml(, |: )" + message):
        load_task_file(task_file(tmp_path, text))


def test_a_task_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(TaskFileError, match=r"nowhere\.yaml: cannot be read"):
        load_task_file(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes("title: Ergüsse".encode("latin-1"))
    with pytest.raises(TaskFileError, match=r"latin\.yaml: cannot be read"):
        load_task_file(tmp_path / "latin.yaml")


CODES = """\
codes:
  - {finding: pleural_effusion, scheme: SCT, value: "60046008", meaning: Pleural effusion}
  - {finding: pleural_effusion, scheme: RADLEX, value: RID34539, meaning: pleural effusion}
"""


def test_a_task_file_may_say_what_terminologies_call_a_finding(tmp_path):
    task = load_task_file(task_file(tmp_path, SOUND + CODES))
    assert task.codes == (
        FindingCode("pleural_effusion", "SCT", "60046008", "Pleural effusion"),
        FindingCode("pleural_effusion", "RADLEX", "RID34539", "pleural effusion"),
    )
    assert load_task_file(task_file(tmp_path, task_file_text(task))) == task


def test_every_finding_of_a_built_in_task_has_a_snomed_code_first():
    for task in TASKS.values():
        first = {code.finding: code.scheme for code in reversed(task.codes)}
        assert first == dict.fromkeys(task.findings, "SCT")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CODES.replace('"60046008"', "60046008"), "line 7: codes.value must be a text, not 60046008"),
        (CODES.replace("RID34539", "R" * 17), "line 8: codes.value cannot be used: value must be .* 1 to 16"),
        (CODES.replace("SCT", "'S\\T'"), r"line 7: codes.scheme cannot be used: scheme must be"),
        (CODES.replace(", meaning: Pleural effusion", ""), r"line 7: codes is incomplete \(.*'meaning'"),
        (CODES.replace("value", "vlaue", 1), "line 7: codes.vlaue is not a known field. Fields: finding,"),
        (CODES.replace("finding: pleural_effusion", "finding: heart", 1), "codes has one of 'heart', not of"),
        ("codes: SCT\n", "line 6: codes must be a list. Fields: finding, scheme, value, meaning"),
    ],
)
def test_a_code_that_cannot_be_used_is_told_with_its_line(tmp_path, text, message):
    with pytest.raises(TaskFileError, match=message):
        load_task_file(task_file(tmp_path, SOUND + text))

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.data.split_file import Look, NotedStudy, Split, SplitFile
from vpt_plugin.data.splits import SplitShares, divide, hash_order, patient_key
from vpt_plugin.errors import TrainingError

SHARES = {"train": 0.85, "validation": 0.15}
WHEN = "2026-11-21T08:00:00Z"


def patients(present: int, absent: int) -> dict[str, tuple[str, ...]]:
    return {
        **{f"with-{number}": ("nodule=present",) for number in range(present)},
        **{f"without-{number}": ("nodule=absent",) for number in range(absent)},
    }


def counted(strata: Mapping[str, tuple[str, ...]], sides: Mapping[str, str]) -> Counter[tuple[str, str]]:
    return Counter((stratum, sides[patient]) for patient, own in strata.items() for stratum in own)


def test_every_state_is_divided_in_the_same_shares() -> None:
    strata = patients(20, 100)
    found = counted(strata, divide(strata, SHARES))
    # 15 % of 20 are 3, of 100 are 15.
    assert found == {
        ("nodule=present", "train"): 17, ("nodule=present", "validation"): 3,
        ("nodule=absent", "train"): 85, ("nodule=absent", "validation"): 15,
    }  # fmt: skip


def test_two_patients_of_a_state_are_enough_for_both_sides() -> None:
    strata = patients(2, 30)
    found = counted(strata, divide(strata, SHARES))
    assert found["nodule=present", "train"] == found["nodule=present", "validation"] == 1


def test_five_folds_of_eleven_have_two_or_three_each_and_the_rare_state_in_four_of_them() -> None:
    strata = patients(4, 7)
    folds = divide(strata, {str(n): 0.2 for n in range(5)})
    found = counted(strata, folds)
    assert sorted(Counter(folds.values()).values()) == [2, 2, 2, 2, 3]
    assert [found["nodule=present", str(n)] for n in range(5)].count(1) == 4


def test_what_is_rare_is_shared_out_where_the_last_of_a_common_state_all_have_it() -> None:
    # Twelve patients have any embolism: four a left one, four a right one, four a chronic one.
    kinds = ("left", "right", "zz-chronic")
    strata = {f"p{n}": ("any=present", f"{kinds[n % 3]}=present") for n in range(12)}
    strata |= {f"none{n}": ("any=absent",) for n in range(28)}
    shares = {"train": 0.7, "validation": 0.15, "test": 0.15}
    found = counted(strata, divide(strata, shares))
    for kind in kinds:
        assert [found[f"{kind}=present", side] for side in shares] == [2, 1, 1]


def test_with_several_findings_the_rarest_is_shared_out_first() -> None:
    strata = {f"p{n}": (f"a={n % 2}", f"b={n % 20 == 0}") for n in range(200)}
    found = counted(strata, divide(strata, SHARES))
    # Ten patients have b: 1.5 of them are wanted for validation.
    assert found["b=True", "validation"] in (1, 2)
    assert found["a=0", "validation"] == pytest.approx(15, abs=1)
    assert found["a=1", "validation"] == pytest.approx(15, abs=1)


def test_the_hash_decides_the_same_today_and_in_ten_years() -> None:
    # A change of these would give another order to a site that lost the file of its split.
    assert hash_order(["a", "b", "c", "d", "e"]) == ["e", "d", "b", "a", "c"]


@given(st.integers(0, 40), st.integers(0, 40), st.randoms(use_true_random=False))
def test_the_order_in_which_patients_are_listed_does_not_matter(
    present: int, absent: int, random: object
) -> None:
    strata = patients(present, absent)
    names = list(strata)
    random.shuffle(names)  # type: ignore[attr-defined]
    sides = divide(strata, SHARES)
    assert sides.keys() == strata.keys()
    assert divide({name: strata[name] for name in names}, SHARES) == sides


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12))
def test_however_labels_come_in_every_state_keeps_its_share(steps: list[tuple[int, int]]) -> None:
    sides: dict[str, str] = {}
    for n in range(len(steps)):
        strata = patients(*(sum(column) for column in zip(*steps[: n + 1], strict=True)))
        sides |= divide(strata, SHARES, sides)
    found = counted(strata, sides)
    for state in ("nodule=present", "nodule=absent"):
        total = found[state, "train"] + found[state, "validation"]
        wanted = 0 if total < 2 else max(1.0, 0.15 * total)
        assert abs(found[state, "validation"] - wanted) <= 1


def test_a_patients_name_is_not_written_down() -> None:
    assert patient_key("MRN-4711") != patient_key("MRN-4712")
    assert "4711" not in patient_key("MRN-4711")


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.2, 0.0)])
def test_shares_that_are_no_shares_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        SplitShares(*shares)


def split() -> Split:
    return Split(
        {"p1": "train", "p2": "test"},
        {"p1": WHEN, "p2": WHEN},
        {"a": NotedStudy("p1", "5eb6"), "b": NotedStudy("p2")},
        (Look(WHEN, "nodule_tiny version 1", 7, {"lung_nodule": None}),),
    )


def test_a_split_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    file = SplitFile(tmp_path / "splits" / "nodule.json", clock=lambda: WHEN)
    assert file.read() == Split()
    assert file.change(lambda _: split()) == split()
    assert file.read() == split()
    assert (file.read().is_test("a"), file.read().is_test("b"), file.read().is_test("c")) == (
        False,
        True,
        False,
    )
    assert json.loads((tmp_path / "splits" / "nodule.json").read_text())["schema"] == "vptct.split/1"


def test_a_side_that_stays_keeps_its_date() -> None:
    later = split().with_sides({"p1": "train", "p2": "train", "p3": "validation"}, "2027")
    assert later.since == {"p1": WHEN, "p2": "2027", "p3": "2027"}
    assert later.without(frozenset({"p1"})).sides == {"p2": "train", "p3": "validation"}


def test_what_another_process_decided_meanwhile_is_seen(tmp_path: Path) -> None:
    file = SplitFile(tmp_path / "nodule.json")
    seen: list[Split] = []

    def change(now: Split) -> Split:
        seen.append(now)
        if len(seen) == 1:  # between the first look and the lock
            (tmp_path / "nodule.json").write_text(json.dumps(split().to_json()))
        return now.with_sides({"p3": "train"}, WHEN)

    assert file.change(change).sides == {"p1": "train", "p2": "test", "p3": "train"}
    assert [len(each.sides) for each in seen] == [0, 2]


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    file = SplitFile(tmp_path / "nodule.json")
    file.change(lambda _: split())
    with FileLock(tmp_path / ".nodule.json.lock"):  # a second lock would wait for a minute
        assert file.change(lambda now: now) == split()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": "vptct.split/2"}', '{"schema": "vptct.split/1", "patients": {"p": 1}}'],
)
def test_a_damaged_file_stops_the_training_lest_the_test_set_is_lost(tmp_path: Path, text: str) -> None:
    (tmp_path / "nodule.json").write_text(text)
    with pytest.raises(TrainingError, match=r"nodule\.json: who is trained on.* cannot be read.*backup"):
        SplitFile(tmp_path / "nodule.json").read()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "splits").write_text("a file where the folder should be")
    with pytest.raises(TrainingError, match="the sides of the split cannot be written down"):
        SplitFile(tmp_path / "splits" / "nodule.json").change(lambda _: split())

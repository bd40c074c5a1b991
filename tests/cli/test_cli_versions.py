"""``vpt versions`` on a real store: what it prints, and what it leaves there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.conformal_record import NEARLY, ConformalRecord, ConformalScores
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.validation_record import SeenStudy, ValidatedStudy, ValidationRecord

NAN = float("nan")
CARD = ModelCard(
    "nodule", "tiny", ("lung_nodule",), "none", 16, split_hash="a" * 64, labels_hash="b" * 64,
    created="2026-11-20T20:31:05Z",
)  # fmt: skip


def with_auroc(value: float, **changes: object) -> ModelCard:
    estimate = Estimate(value, (value - 0.1, value + 0.1), 60)
    return replace(CARD, validation_auroc={"lung_nodule": estimate}, **changes)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Versions 1 and 2, served one after the other, and the candidate 3 with figures of two levels."""
    store = ModelStore(tmp_path / "models")
    third = with_auroc(
        0.75,
        metrics={
            "study": {"lung_nodule": {"brier": Estimate(0.15, (0.1, 0.2), 60)}},
            "clip": {"lung_nodule": {"auroc": Estimate(NAN, (NAN, NAN), 0)}},
        },
        comparison={"sentence": "It is not better, so the served version stays."},
        training={"warnings": ["The best epoch is the last one (10)."]},
        labels_hash="c" * 64,
        thresholds={"lung_nodule": NAN},
    )
    for seed, card in enumerate((with_auroc(0.7, split_hash="d" * 64), with_auroc(0.8), third)):
        classifier = new_classifier(MODELS["tiny"], ("lung_nodule",), seed=seed)
        store.publish(classifier, card, serve=seed < 2)
    return store


@pytest.fixture
def vpt(store: ModelStore) -> Callable[..., Result]:
    def run(command: str, *arguments: object) -> Result:
        words = ["versions", command, *map(str, arguments), "--models-dir", str(store.root)]
        return CliRunner().invoke(app, words)

    return run


def lines(result: Result) -> list[str]:
    return [" ".join(line.split()) for line in result.stdout.splitlines() if line.strip()]


def test_the_list_says_what_is_served_and_what_a_rollback_would_serve(vpt: Callable[..., Result]) -> None:
    result = vpt("list")
    assert result.exit_code == 0
    assert lines(result)[2:] == [
        "nodule_tiny 1 before 2026-11-20T20:31:05Z 0 none lung_nodule 0.700 [0.600, 0.800] (60 studies)",
        "nodule_tiny 2 served 2026-11-20T20:31:05Z 0 none lung_nodule 0.800 [0.700, 0.900] (60 studies)",
        "nodule_tiny 3 candidate 2026-11-20T20:31:05Z 0 none lung_nodule 0.750 [0.650, 0.850] (60 studies)",
        "before: served before, and again after `vpt versions rollback`.",
        "nodule_tiny version 2 was not checked in bfloat16, so it answers in float32: "
        "vpt versions check-precision nodule_tiny 2",
    ]
    rows = json.loads(vpt("list", "nodule_tiny", "--json").stdout)
    assert [(row["version"], row["state"]) for row in rows] == [
        (1, "before"),
        (2, "served"),
        (3, "candidate"),
    ]


def test_a_damaged_version_is_in_the_list_and_told(vpt: Callable[..., Result], store: ModelStore) -> None:
    (store.root / "nodule_tiny" / "v0001" / "card.json").write_text("{")
    result = vpt("list")
    assert result.exit_code == 1
    assert lines(result)[2] == "nodule_tiny 1 damaged"
    assert "v0001/card.json: the model card cannot be read" in result.stderr.replace("\\", "/")


def test_a_damaged_record_is_told_once_and_promoting_mends_it(
    vpt: Callable[..., Result], store: ModelStore
) -> None:
    (store.root / "nodule_tiny" / "served.json").write_text("{")
    result = vpt("list")
    assert (result.exit_code, result.stderr.count("which version is served cannot be read")) == (1, 1)
    assert [line.split()[2] for line in lines(result)[2:5]] == ["unknown"] * 3
    assert "nodule (damaged)" in CliRunner().invoke(app, ["models", "--models-dir", str(store.root)]).stdout
    assert vpt("promote", "nodule_tiny", 2, "--why", "it was that one").exit_code == 0
    assert vpt("list").exit_code == 0


def test_show_tells_figures_of_both_levels_the_comparison_and_when_it_was_served(
    vpt: Callable[..., Result],
) -> None:
    promoted = vpt("promote", "nodule_tiny", 3, "--why", "better on ours")
    assert promoted.exit_code == 0
    assert lines(promoted)[-1] == "warning: The best epoch is the last one (10)."
    told = lines(vpt("show", "nodule_tiny"))
    assert told[0] == "nodule_tiny version 3, served"
    for line in (
        "study lung_nodule AUROC 0.750 [0.650, 0.850] (60 studies)",
        "study lung_nodule Brier score 0.150 [0.100, 0.200] (60 studies)",
        "clip lung_nodule AUROC n/a (0 clips)",
        "threshold of lung_nodule n/a",
        "When it was trained: It is not better, so the served version stays.",
        "warning: The best epoch is the last one (10).",
    ):
        assert line in told
    assert "promoted" in told[-1]
    assert told[-1].endswith("better on ours")


def test_show_says_where_an_error_rate_holds_only_nearly(store: ModelStore) -> None:
    def told(folds: bool) -> str:
        record = ConformalRecord({"lung_nodule": ConformalScores.of([], [])}, folds, {})
        card = replace(store.card("nodule", "tiny", 1), conformal=record)
        (store.place("nodule", "tiny", 1) / "card.json").write_text(json.dumps(card.to_json()))
        words = ["versions", "show", "nodule_tiny", "1", "--models-dir", str(store.root)]
        return " ".join(CliRunner().invoke(app, words).stdout.split())

    assert f"error rate {NEARLY}" in told(folds=True)
    assert NEARLY not in told(folds=False)


def test_show_as_json_is_the_card_and_the_record_without_nan(vpt: Callable[..., Result]) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    told = json.loads(vpt("show", "nodule_tiny", 3, "--json").stdout, parse_constant=refuse)
    assert told["card"]["thresholds"] == {"lung_nodule": None}
    assert (told["served"]["version"], [each["version"] for each in told["served"]["earlier"]]) == (2, [1])


def test_figures_from_the_same_studies_are_compared(vpt: Callable[..., Result]) -> None:
    told = lines(vpt("compare", "nodule_tiny", 2, 3))
    assert told[0] == "nodule_tiny version 2 version 3"
    auroc = "0.800 [0.700, 0.900] (60 studies) 0.750 [0.650, 0.850] (60 studies)"
    assert f"study lung_nodule AUROC {auroc}" in told
    assert "study lung_nodule Brier score n/a 0.150 [0.100, 0.200] (60 studies)" in told
    assert told[-1].startswith("Comparable: both were trained and validated on the same studies.")
    assert told[-1].endswith("Some labels of these studies changed in between.")


def test_figures_from_other_studies_are_not_compared(vpt: Callable[..., Result]) -> None:
    assert lines(vpt("compare", "nodule_tiny", 1, 2))[-1].startswith(
        "Not comparable: these figures are from different studies"
    )
    told = json.loads(vpt("compare", "nodule_tiny", 1, 2, "--json").stdout)
    assert told["comparable"] is False
    assert [card["version"] for card in told["versions"]] == [1, 2]


def test_two_versions_are_compared_on_the_studies_that_both_were_validated_on(
    vpt: Callable[..., Result], store: ModelStore
) -> None:
    def record(numbers: range, right: float) -> ValidationRecord:
        return ValidationRecord(
            ("lung_nodule",),
            tuple(
                ValidatedStudy(
                    SeenStudy(f"s{n}", (f"p{n}",), f"scan{n}"),
                    {"lung_nodule": float(n % 2)},
                    {"lung_nodule": right if n % 2 else 1 - right},
                )
                for n in numbers
            ),
            (),
        )

    record(range(12), 0.3).write(store.place("nodule", "tiny", 2))
    record(range(4, 20), 0.9).write(store.place("nodule", "tiny", 3))
    # Recorded of both are 4 to 11; version 2 has each of them the wrong way round.
    assert lines(vpt("compare", "nodule_tiny", 2, 3))[-1] == (
        "On the 8 studies that both were validated on, version 2 has AUROC 0.000 [n/a, n/a], version 3 "
        "1.000 [n/a, n/a]: a gain of +1.000 [n/a, n/a]; version 3 stays less than 0.01 behind in "
        "100 % of 993 resamples."
    )
    told = json.loads(vpt("compare", "nodule_tiny", 2, 3, "--json").stdout)
    assert told["on_the_same_studies"]["gain"]["value"] == 1.0
    assert json.loads(vpt("compare", "nodule_tiny", 1, 3, "--json").stdout)["on_the_same_studies"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"validation_auroc": {}}, "Not comparable: there are no figures of version 4."),
        ({"split_hash": ""}, "Not comparable: which studies the figures are from is not known"),
        ({"findings": ("lung_nodule", "emphysema")}, "Comparable: both"),
    ],
)
def test_what_a_card_does_not_say_is_no_ground_to_compare(
    vpt: Callable[..., Result], store: ModelStore, changes: dict[str, object], said: str
) -> None:
    card = replace(with_auroc(0.9), **changes)
    store.publish(new_classifier(MODELS["tiny"], card.findings, seed=9), card)
    result = vpt("compare", "nodule_tiny", 2, 4)
    assert result.exit_code == 0
    assert lines(result)[-1].startswith(said)


def test_a_promotion_and_its_rollback(vpt: Callable[..., Result], store: ModelStore) -> None:
    result = vpt("promote", "nodule_tiny", 3, "--why", "better on ours")
    assert (result.exit_code, result.stdout) == (
        0,
        "nodule_tiny: version 3 is served from now on.\nwarning: The best epoch is the last one (10).\n",
    )
    assert store.current_version("nodule", "tiny") == 3
    result = vpt("rollback", "nodule_tiny", "--why", "it was not")
    assert result.stdout == "nodule_tiny: version 2 is served again.\n"
    changes = store.served("nodule", "tiny").changes[-2:]
    assert [change.why for change in changes] == ["better on ours", "it was not"]
    assert all(change.when for change in changes)


def test_without_a_reason_nothing_is_changed(vpt: Callable[..., Result], store: ModelStore) -> None:
    result = vpt("promote", "nodule_tiny", 3)
    assert (result.exit_code, "--why" in result.stderr) == (2, True)
    assert store.current_version("nodule", "tiny") == 2


def test_a_model_goes_to_another_computer(vpt: Callable[..., Result], tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "model.zip", tmp_path / "elsewhere"
    assert vpt("export", "nodule_tiny", 2, "-o", file).stdout == f"{file}\n"
    again = vpt("export", "nodule_tiny", 2, "-o", file)
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)

    def there(*words: object) -> Result:
        return CliRunner().invoke(app, ["versions", *map(str, words), "--models-dir", str(elsewhere)])

    result = there("import", file)
    assert result.stdout == (
        f"{file}: now version 1 of nodule_tiny.\n"
        "It is a candidate: vpt versions promote nodule_tiny 1 --why TEXT serves it.\n"
    )
    models = CliRunner().invoke(app, ["models", "--models-dir", str(elsewhere)]).stdout
    assert "nodule (none served)" in models
    assert there("promote", "nodule_tiny", 1, "--why", "it answers well").exit_code == 0
    assert there("import", file).exit_code == 2
    assert ModelStore(elsewhere).current_version("nodule", "tiny") == 1


def test_what_is_imported_to_be_served_is_served(vpt: Callable[..., Result], tmp_path: Path) -> None:
    vpt("export", "nodule_tiny", 1, "-o", tmp_path / "folder")
    words = ["versions", "import", str(tmp_path / "folder"), "--serve", "--models-dir", str(tmp_path / "b")]
    assert CliRunner().invoke(app, words).stdout.endswith("It is served from now on.\n")
    assert ModelStore(tmp_path / "b").current_version("nodule", "tiny") == 1


def test_pruning_tells_first_and_then_does(vpt: Callable[..., Result], store: ModelStore) -> None:
    store.promote("nodule", "tiny", 3, why="better")
    assert vpt("prune", "nodule_tiny", "--keep", 1, "--dry-run").stdout == (
        "nodule_tiny: 1 version to remove: 1.\n"
    )
    assert store.versions("nodule", "tiny") == [1, 2, 3]
    assert vpt("prune", "nodule_tiny", "--keep", 1).stdout == "nodule_tiny: 1 version removed: 1.\n"
    assert vpt("prune", "nodule_tiny", "--keep", 1).stdout == "nodule_tiny: 0 versions removed.\n"
    assert vpt("prune", "nodule_tiny", "--keep", 1, "--rollback-too").stdout.endswith("removed: 2.\n")
    assert store.versions("nodule", "tiny") == [3]


def test_what_is_not_there_names_what_there_is(vpt: Callable[..., Result], tmp_path: Path) -> None:
    result = vpt("show", "nodule_tin")
    assert (result.exit_code, "choose from nodule_tiny." in result.stderr) == (2, True)
    result = vpt("show", "nodule_tiny", 9)
    assert (result.exit_code, "there are: 1, 2, 3." in result.stderr) == (1, True)
    empty = CliRunner().invoke(app, ["versions", "list", "--models-dir", str(tmp_path / "none")])
    assert (empty.exit_code, empty.stdout.startswith("There are no versions yet")) == (0, True)

"""What a simulation found, in a folder: one small file per replay, and a CSV and a JSON of all of them.

A replay's file is written when it has ended, so an interrupted simulation goes on with the next one, and
several processes may share the work by strategies and seeds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vpt_plugin.active.simulation.replay import ReplayRound
from vpt_plugin.active.simulation.summary import Replays, StrategySummary, labels_to
from vpt_plugin.durable import write_over
from vpt_plugin.errors import ConfigurationError

SCHEMA = "vptct.simulation/1"
CSV_NAME, JSON_NAME, PNG_NAME = "simulation.csv", "simulation.json", "simulation.png"


class ReplayFolder:
    """The replays of one simulation.

    Args:
        folder: of the simulation.
        facts: all that the replays depend on besides strategy and seed.

    Raises:
        ConfigurationError: the folder holds replays of other facts.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        self._replays = folder / "replays"
        self._replays.mkdir(parents=True, exist_ok=True)
        self._hash = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        file = self._replays / "facts.json"
        if file.exists():
            self._check(file, facts)
        else:
            write_over(file, json.dumps({"hash": self._hash, "facts": facts}, indent=1).encode())

    def _check(self, file: Path, facts: Mapping[str, Any]) -> None:
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            known, before = kept["hash"], dict(kept["facts"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{file} cannot be read: {error}.", "Choose a new folder.") from error
        if known != self._hash:
            names = [
                name
                for name in {**before, **facts}
                if before.get(name) != json.loads(json.dumps(facts.get(name)))
            ]
            raise ConfigurationError(
                f"{self.folder} holds a simulation of something else ({', '.join(names)} differs).",
                "Choose a new folder, or give the same settings to go on with it.",
            )

    def get(self, strategy: str, seed: int) -> list[ReplayRound] | None:
        """A replay that has ended; None where it has not, or its file is damaged."""
        try:
            kept = json.loads(self._file(strategy, seed).read_text(encoding="utf-8"))
            return [ReplayRound(**each) for each in kept["rounds"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def put(self, strategy: str, seed: int, rounds: Sequence[ReplayRound]) -> None:
        """Keep a replay that has ended."""
        content = {"strategy": strategy, "seed": seed, "rounds": [asdict(each) for each in rounds]}
        write_over(self._file(strategy, seed), json.dumps(content).encode())

    def _file(self, strategy: str, seed: int) -> Path:
        return self._replays / f"{strategy}-{seed}.json"


def csv_text(replays: Replays, *, target: float) -> str:
    """One row per strategy, seed and round.

    ``kept_target`` is where no AUROC is below it from there on, ``chosen_by`` how many of the labels that are
    new in this round each strategy chose.
    """
    findings = next((list(rounds[0].present) for rounds in replays.values()), [])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    present = [f"present_{finding}" for finding in findings]
    writer.writerow(
        ["strategy", "seed", "round", "labels", *present, "auroc", "kept_target", "trained", "chosen_by"]
    )
    writer.writerows(_rows(replays, target))
    return text.getvalue()


def _rows(replays: Replays, target: float) -> Iterable[list[Any]]:
    for (strategy, seed), rounds in replays.items():
        needed = labels_to(target, rounds)
        before: Counter[str] = Counter()
        for number, each in enumerate(rounds):
            # A replay counts from its beginning; a row is of what was chosen since the row before it.
            new = {name: count - before[name] for name, count in each.chosen_by.items()}
            by = " ".join(f"{name}:{count}" for name, count in sorted(new.items()) if count)
            before = Counter(each.chosen_by)
            yield [
                strategy, seed, number, each.labels, *each.present.values(), f"{each.auroc:.6f}",
                _yes(each.labels >= needed), _yes(each.trained), by,
            ]  # fmt: skip


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def summary_json(summaries: Sequence[StrategySummary], about: Mapping[str, Any]) -> str:
    """What was simulated, and the figures of every strategy."""
    return json.dumps(
        {"schema": SCHEMA, **about, "strategies": [each.to_json() for each in summaries]}, indent=1
    )

"""What is to be done of an experiment: a part of its cells, those that are done, those that cannot be."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import CellResult, Failure
from vpt_plugin.study.cell_studies import read_manifest
from vpt_plugin.study.cells import ARMS, Cell
from vpt_plugin.study.facts import manifest_sha256, require_same, task_sha256
from vpt_plugin.study.plan import Plan, require_amounts
from vpt_plugin.study.rate_choice import choose_rate
from vpt_plugin.study.ready import require_ready
from vpt_plugin.training.readiness import check_room


@dataclass(frozen=True)
class Part:
    """A part of a plan: the final cells that it names, and what they need. Empty means all.

    Attributes:
        networks, arms, percents, seeds: of the final cells.
    """

    networks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    percents: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()

    def of(self, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        """These cells, in their order.

        Raises:
            ConfigurationError: it names what the plan does not have, or what it never has together.
        """
        self._check(cells)
        wanted = {cell.id for cell in cells if cell.stage == "final" and self._has(cell)}
        if not wanted:
            raise ConfigurationError("no cell of the plan is all of what was asked for;", "ask for less.")
        # What is needed comes before what needs it.
        for cell in reversed(cells):
            if cell.id in wanted:
                wanted.update(cell.needs)
        return tuple(cell for cell in cells if cell.id in wanted)

    def _has(self, cell: Cell) -> bool:
        pairs = (
            (self.networks, cell.network), (self.arms, cell.arm),
            (self.percents, cell.percent), (self.seeds, cell.seed),
        )  # fmt: skip
        return all(not asked or value in asked for asked, value in pairs)

    def _check(self, cells: Sequence[Cell]) -> None:
        finals = [cell for cell in cells if cell.stage == "final"]
        for name in ("networks", "arms", "percents", "seeds"):
            known = {getattr(cell, name.removesuffix("s")) for cell in finals}
            for value in getattr(self, name):
                if value not in known:
                    choices = ", ".join(f"{each:g}" if isinstance(each, float) else str(each)
                                        for each in sorted(known))  # fmt: skip
                    raise ConfigurationError(
                        f"the plan has no {value!r} among its {name};", f"choose from {choices}."
                    )


@dataclass(frozen=True)
class RunOptions:
    """How a study is run.

    Attributes:
        part: of the plan.
        cache: where prepared studies are kept; None takes ``prepared`` in the study's folder.
        weights_dir: where published weights lie; None takes the folder of this computer.
        retry_failed: whether what failed before is tried again.
        cpus: cores of each cell; None takes the plan's.
        gpus: share of a GPU of each cell; None takes the plan's.

    Raises:
        ConfigurationError: no training can be given these amounts.
    """

    part: Part = field(default_factory=Part)
    cache: Path | None = None
    weights_dir: Path | None = None
    retry_failed: bool = False
    cpus: float | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        require_amounts("--cpus", cpus=self.cpus)
        require_amounts("--gpus", gpus=self.gpus)

    def cache_in(self, out: Path) -> Path:
        """Where prepared studies are kept, of the study in this folder."""
        return self.cache or out / "prepared"


@dataclass(frozen=True)
class Standing:
    """Where an experiment stands.

    Attributes:
        done: the ids of cells with a result.
        failed: by id, what went wrong the last time with cells that are not tried again by themselves.
        to_run: the others, in order.
    """

    done: frozenset[str]
    failed: Mapping[str, Failure]
    to_run: tuple[Cell, ...]


def standing_of(plan: Plan, cells: Iterable[Cell], out: Path, *, retry_failed: bool = False) -> Standing:
    """Look into the study's folder.

    Args:
        plan: with its manifests; one whose phantoms are still to be made may lack its own.
        cells: of the plan, whose standing it is. What is done of all others is checked, too: parts of one
            plan share the folder, and its report.
        out: the study's folder.
        retry_failed: whether what failed is tried again. What only waited for a failed one always is.

    Raises:
        ConfigurationError: a result is of another cell, other studies or another task than the plan's, or
            what it builds on was done again since.
    """
    planned = {cell.id: cell for cell in plan.cells()}
    results = {name: CellFolder.of(out, name).result() for name in planned}
    done = {name: result for name, result in results.items() if result is not None}
    check = _SameCheck(plan, done)
    for name, result in done.items():
        check.require(result, planned[name])
    failed, to_run, asked = {}, [], tuple(cells)
    for cell in asked:
        if cell.id in done:
            continue
        failure = CellFolder.of(out, cell.id).failure()
        if failure is not None and not failure.needs and not retry_failed:
            failed[cell.id] = failure
        else:
            to_run.append(cell)
    return Standing(frozenset(cell.id for cell in asked if cell.id in done), failed, tuple(to_run))


class _SameCheck:
    """Whether results are of what the plan says now, and of each other; each manifest is read once."""

    def __init__(self, plan: Plan, done: Mapping[str, CellResult]) -> None:
        self._plan = plan
        self._done = done
        self._hashes: dict[str, dict[str, str]] = {}

    def require(self, result: CellResult, cell: Cell) -> None:
        taken = result.provenance
        facts = {
            "cell": cell.to_json(),
            "manifest_sha256": taken.manifest_sha256,
            "task_sha256": taken.task_sha256,
            # Published weights are not hashed again for cells that are done.
            "pretrained_sha256": taken.pretrained_sha256,
            "start_sha256": taken.start_sha256,
            "learning_rate": result.learning_rate,
        }
        require_same(result, {**facts, **self._of_dataset(cell.dataset), **self._of_needed(cell)})

    def _of_dataset(self, name: str) -> dict[str, str]:
        dataset = self._plan.dataset(name)
        if dataset.manifest is None:
            return {}  # Its phantoms are still to be made.
        if name not in self._hashes:
            task = dataset.reading_task()
            manifest = read_manifest(Manifest.read(dataset.manifest), task)
            self._hashes[name] = {
                "manifest_sha256": manifest_sha256(manifest, task.name),
                "task_sha256": task_sha256(task),
            }
        return self._hashes[name]

    def _of_needed(self, cell: Cell) -> dict[str, Any]:
        """What the cells that it needs say now; those that are to be done again say nothing yet."""
        found: dict[str, Any] = {}
        if cell.start_cell in self._done:
            found["start_sha256"] = self._done[cell.start_cell].provenance.weights_sha256
        if cell.learning_rate is None and all(name in self._done for name in cell.search_cells):
            tried = [self._done[name] for name in cell.search_cells]
            found["learning_rate"] = choose_rate(tried).learning_rate
        return found


def require_startable(plan: Plan, out: Path, options: RunOptions) -> Standing:
    """What a run asks before it trains anything, and a dry run asks alone.

    Args:
        plan: with its manifests.
        out: the study's folder, which need not be there yet.
        options: of the run.

    Raises:
        ConfigurationError: as of ``require_ready``, ``Part.of`` and ``standing_of``.
        ManifestError, WeightsError: as of ``require_ready``.
        TrainingError: there is no room for the prepared studies.
    """
    require_ready(plan, WeightsFolder(options.weights_dir))
    check_room(_to_prepare(plan), out, options.cache_in(out))
    return standing_of(plan, options.part.of(plan.cells()), out, retry_failed=options.retry_failed)


def _to_prepare(plan: Plan) -> int:
    """Studies that are prepared, each again for every size in pixels."""
    studies = sum(len(Manifest.read(each.manifest_file()).studies) for each in plan.all_datasets)
    return studies * len({plan.spec(network).resize_px for network in plan.networks})


def waits_for(cell: Cell, hopeless: Mapping[str, Failure]) -> Failure | None:
    """Why a cell cannot be run: what it needs failed, or cannot be run itself; None where it can.

    Of the learning rates that are tried one is enough.
    """
    lost = [name for name in cell.search_cells if name in hopeless]
    needed = [cell.start_cell] if cell.start_cell in hopeless else []
    if lost and len(lost) == len(cell.search_cells):
        needed += lost
    if not needed:
        return None
    return Failure(f"not run: it needs {needed[0]}, which failed.", "See there.", needs=needed[0])


def is_ready(cell: Cell, done: Container[str], hopeless: Container[str]) -> bool:
    """Whether a cell need not wait: a learning rate that failed leaves the choice to the others."""
    begun = not cell.start_cell or cell.start_cell in done
    return begun and all(name in done or name in hopeless for name in cell.search_cells)


def cell_in_words(cell: Cell) -> str:
    """``rsna, swin_t, video/image, 10 %, seed 0``."""
    stage = {"search": "rate search", "pretrain": "pretraining"}.get(cell.stage)
    rate = f", rate {cell.learning_rate:g}" if cell.stage == "search" else ""
    words = f"{cell.dataset}, {cell.network}, {ARMS[cell.arm]}, {cell.percent:g} %, seed {cell.seed}{rate}"
    return f"{stage}: {words}" if stage else words

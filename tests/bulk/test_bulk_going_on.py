"""What a run makes of interruptions, of studies that cannot be had, and of those that end workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs the extra `study`")

from pool_here import PoolHere, WorkerEnds

from vpt_plugin import durable
from vpt_plugin.bulk import run
from vpt_plugin.bulk.job import BulkJob
from vpt_plugin.bulk.losses import Losses
from vpt_plugin.bulk.parts import Settled
from vpt_plugin.bulk.source import BulkSource, Opener, open_bulk_source
from vpt_plugin.cluster import RayPlace
from vpt_plugin.errors import ArchiveUnreachableError, ConfigurationError, VptError
from vpt_plugin.store.source import OpenedStudy
from vpt_plugin.tasks import TASKS

HERE = RayPlace(None, cpus=2, gpus=0)
Asked = list[str]


@contextmanager
def as_it_lies(study: str, where: str) -> Iterator[OpenedStudy]:
    yield OpenedStudy(Path(where))


@pytest.fixture
def job(bulk_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BulkJob:
    """Of version 1, answered in this process."""
    monkeypatch.setattr(run, "WorkerPool", PoolHere)
    return BulkJob("made up", tmp_path / "out", TASKS["nodule"], "tiny", models_dir=bulk_models, device="cpu")


@pytest.fixture
def answer_all(
    job: BulkJob, phantom_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Settled]:
    """Runs over so many studies, ``ct-00`` and so on, and says what is settled then."""

    def go(studies: int, opener: Opener = as_it_lies, **settings: object) -> Settled:  # type: ignore[assignment]
        places = {f"ct-{number:02d}": str(phantom_files[0]) for number in range(studies)}
        monkeypatch.setattr(run, "open_bulk_source", lambda place: BulkSource("made up", places, opener))
        run.classify_all(replace(job, **settings), nullcontext(HERE))  # type: ignore[arg-type]
        return settled(job)

    return go


def settled(job: BulkJob) -> Settled:
    return run.BulkFolder(job.out).parts.settled()


def without(missing: Callable[[str], bool], asked: Asked | None = None) -> Opener:
    """Some studies are not where they should be."""

    @contextmanager
    def opener(study: str, where: str) -> Iterator[OpenedStudy]:
        if asked is not None:
            asked.append(study)
        if missing(study):
            raise FileNotFoundError(2, "No such file", study)
        yield OpenedStudy(Path(where))

    return opener


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_an_interruption_when_a_part_is_on_the_disk_already_writes_no_answer_twice(
    answer_all: Callable[..., Settled], job: BulkJob, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    sync, interruptions = durable.sync_folder, [error]

    def sync_and_interrupt(path: Path) -> None:
        sync(path)
        if interruptions and any(path.glob("part-*.parquet")):
            raise interruptions.pop()

    monkeypatch.setattr(durable, "sync_folder", sync_and_interrupt)
    with pytest.raises(type(error)):
        answer_all(4, studies_of_a_part=2)
    assert settled(job).answered.keys() == {"ct-00", "ct-01"}
    assert len(answer_all(4).answered) == 4


@pytest.mark.parametrize("missing", [range(3, 33), range(30), range(10, 40)], ids=["middle", "first", "last"])
def test_thirty_studies_that_are_gone_are_refused_and_the_others_answered(
    answer_all: Callable[..., Settled], missing: range
) -> None:
    gone = {f"ct-{number:02d}" for number in missing}
    now = answer_all(40, without(gone.__contains__))
    assert now.refused.keys() == gone
    assert len(now.answered) == 10


def test_studies_that_are_gone_since_an_earlier_run_do_not_stop_the_next_one(
    answer_all: Callable[..., Settled],
) -> None:
    answer_all(3)
    gone = {f"ct-{number:02d}" for number in range(3, 33)}
    assert answer_all(33, without(gone.__contains__)).refused.keys() == gone


@pytest.mark.parametrize("left", [30, 3], ids=["many", "a few at the end"])
def test_when_the_share_goes_away_the_run_ends_and_refuses_nothing_and_goes_on_when_it_is_back(
    answer_all: Callable[..., Settled], job: BulkJob, left: int
) -> None:
    asked: Asked = []
    # Away as soon as five were asked for, so those that were answered cannot be had either.
    with pytest.raises(
        ArchiveUnreachableError, match=r"studies could not be had, and no other .* mount it again"
    ):
        answer_all(5 + left, without(lambda study: len(asked) > 5, asked))
    assert (len(settled(job).answered), dict(settled(job).refused)) == (5, {})
    # At most the 20, what was in hand, and three of those that could be had before.
    assert len(asked) <= 5 + 20 + 2 + 3
    assert len(answer_all(5 + left).answered) == 5 + left


def test_where_no_study_can_be_had_at_all_it_is_said_and_nothing_refused(
    answer_all: Callable[..., Settled], job: BulkJob
) -> None:
    with pytest.raises(ArchiveUnreachableError, match="2 studies could not be had"):
        answer_all(2, without(lambda study: True))
    assert dict(settled(job).refused) == {}


def test_a_study_that_is_asked_for_once_more_is_answered_once(
    answer_all: Callable[..., Settled], job: BulkJob
) -> None:
    asked: Asked = []
    now = answer_all(3, without("ct-02".__eq__, asked))
    assert asked == ["ct-00", "ct-01", "ct-02", "ct-01"]
    assert (now.answered.keys(), dict(now.refused)) == ({"ct-00", "ct-01"}, {"ct-02": "FileNotFoundError"})


def ending_worker(poison: str, asked: Asked) -> Opener:
    @contextmanager
    def opener(study: str, where: str) -> Iterator[OpenedStudy]:
        asked.append(study)
        if study == poison:
            raise WorkerEnds
        yield OpenedStudy(Path(where))

    return opener


def test_a_study_has_three_lives_and_its_neighbours_are_answered(
    answer_all: Callable[..., Settled], job: BulkJob
) -> None:
    asked: Asked = []
    now = answer_all(4, ending_worker("ct-01", asked))
    assert Counter(asked)["ct-01"] == 3
    assert (len(now.answered), dict(now.refused)) == (3, {"ct-01": "WorkerDiedError"})
    # It has three again where it is to be tried again.
    assert json.loads((job.out / "losses.json").read_text()) == {}
    answer_all(4, ending_worker("ct-01", asked), retry_refused=True)
    assert Counter(asked)["ct-01"] == 6


@pytest.mark.parametrize(("lost_before", "asked_for"), [(2, 1), (3, 0)])
def test_lives_that_were_lost_with_the_whole_command_count(
    answer_all: Callable[..., Settled], job: BulkJob, lost_before: int, asked_for: int
) -> None:
    answer_all(1)
    (job.out / "losses.json").write_text(json.dumps({"ct-02": lost_before}))
    asked: Asked = []
    now = answer_all(4, ending_worker("ct-02", asked))
    assert Counter(asked)["ct-02"] == asked_for
    assert (len(now.answered), dict(now.refused)) == (3, {"ct-02": "WorkerDiedError"})


def test_what_is_tried_alone_is_lost_when_the_process_goes_and_not_when_it_ends_by_itself(
    tmp_path: Path,
) -> None:
    def read() -> Losses:
        losses = Losses(tmp_path / "losses.json")
        losses.read()
        return losses

    first = read()
    first.add("ct-1")
    first.try_alone("ct-1")
    second = read()
    assert (first.of("ct-1"), second.of("ct-1")) == (1, 2)
    second.try_alone("ct-1")
    second.end()
    third = read()
    assert third.of("ct-1") == 2
    third.forget(["ct-1", "ct-2"])
    assert read().of("ct-1") == 0


def test_damaged_losses_are_an_error_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "losses.json").write_text("[]")
    with pytest.raises(VptError, match=r"losses\.json: this file is damaged.*Remove it"):
        Losses(tmp_path / "losses.json").read()


def test_answers_are_written_even_where_the_workers_cannot_be_ended(
    answer_all: Callable[..., Settled], job: BulkJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(pool: PoolHere) -> None:
        raise RuntimeError("Ray has gone")

    monkeypatch.setattr(PoolHere, "close", close)
    with pytest.raises(RuntimeError, match="Ray has gone"):
        answer_all(2)
    assert len(settled(job).answered) == 2


def test_an_answered_study_whose_path_changes_is_an_error_and_a_refused_one_may_be_mended(
    job: BulkJob, phantom_files: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "studies.csv"
    asked = partial(run.classify_all, replace(job, source=str(file), retry_refused=True), nullcontext(HERE))
    file.write_text(f"study,path\na,{phantom_files[0]}\nb,gone.nrrd\n")
    assert asked().refused == {"StudyNotFoundError": 1}
    file.write_text(f"study,path\na,{phantom_files[0]}\nb,{phantom_files[1]}\n")
    assert asked().answered == 2
    assert settled(job).answered == dict(open_bulk_source(str(file)).studies)
    file.write_text(f"study,path\na,{phantom_files[2]}\nb,{phantom_files[1]}\n")
    with pytest.raises(
        ConfigurationError, match=r"studies\.csv: a is at .*phantom-2\.nrrd, but .*phantom-0\.nrrd"
    ):
        asked()

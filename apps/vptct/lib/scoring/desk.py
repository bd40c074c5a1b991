"""ScoringDesk: keeps the scores of what is served complete, with one process at a time."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vpt_plugin.errors import ArchiveError
from vpt_plugin.labels import now
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

from ..conf import AppConf
from ..plain import Plain
from ..worker_process import Command, Worker, module_command
from .account import DONE, FAILED, RUNNING, Account
from .aside import Aside
from .hearing import Hearing
from .job_files import JobFiles
from .orders import scoring_job
from .targets import Coverage, Target, Targets
from .told import scoring_info

_logger = logging.getLogger(__name__)
_SCORE = module_command("vpt_plugin.active.worker")
# How often what is served is looked at; from being asked to end to being killed.
_LOOK_SECONDS, _PATIENCE_SECONDS = 3.0, 2.0
# New studies begin a scoring no more often than this; studies that are away are asked for again after that.
_NEW_STUDIES_SECONDS, _AWAY_SECONDS = 600.0, 60.0


class ScoringDesk:
    """Scores what is served, in the background; several threads may ask how it goes.

    It looks at what is served every few seconds, so it does not matter who published or chose a version. One
    process scores at a time. It is ended when what it scores is not served any more.

    Args:
        targets: what needs scores.
        models: the folder of models; jobs and logs go below it.
        on: whether anything is scored at all.
        command: what is run for a job; tests put in their own.
        look_seconds: how often what is served is looked at.
        new_studies_seconds: how often at most new studies begin a scoring.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        targets: Targets,
        models: Path,
        *,
        on: bool = True,
        command: Command = _SCORE,
        look_seconds: float = _LOOK_SECONDS,
        new_studies_seconds: float = _NEW_STUDIES_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.aside = Aside()
        self._targets = targets
        self._files = JobFiles(models)
        self._on = on
        self._command = command
        self._look_seconds = look_seconds
        self._new_studies_seconds = new_studies_seconds
        self._clock = clock
        self._accounts: dict[Target, Account] = {}
        self._ordered: tuple[Target, ...] = ()
        self._worker: Worker | None = None
        self._closed = False
        self._changed = threading.Condition()

    @classmethod
    def of(
        cls,
        studies: str,
        conf: AppConf,
        labels: LabelFolder,
        store: ModelStore,
        source: Callable[[], StudySource],
    ) -> ScoringDesk:
        """The desk of a server, for all of its tasks.

        Args:
            studies: what ``--studies`` says.
            conf: of the server.
            labels: of the studies.
            store: where versions lie.
            source: gives the studies themselves; asked at each look.
        """
        targets = Targets(conf, store, labels, source, partial(scoring_job, studies, conf, labels, store))
        return cls(targets, store.root, on=conf.active.scoring)

    def open(self) -> None:
        """Begin to look at what is served; to be called when the server opens. It closes by itself."""
        if self._on:
            atexit.register(self.close)
            # It stays to the end: on Linux what it starts ends with it.
            threading.Thread(target=self._work, name="vptct-scoring", daemon=True).start()

    def close(self) -> None:
        """The server ends: so does what is running, at once. What is scored is kept."""
        with self._changed:
            self._closed = True
            worker = self._worker
            self._changed.notify_all()
        self.aside.close()
        if worker is not None:
            worker.stop(_PATIENCE_SECONDS)

    def order(self, task: ReadingTask, spec: ModelSpec, *, by: str, plain: Plain) -> dict[str, Any]:
        """Score with what is served of a network, also where it was given up, or is not what chooses.

        It goes on where it was.

        Returns:
            How it goes, as of ``info``.
        """
        target = self._targets.of(task, spec)
        _logger.info("the scoring of %s was ordered by %s", target, by or "somebody")
        with self._changed:
            account = self._accounts.get(target, Account(target))
            account = account if account.state == RUNNING else account.anew()
            self._accounts[target] = account
            self._ordered = tuple(dict.fromkeys((*self._ordered, target)))
            self._changed.notify_all()
        return scoring_info(account, on=self._on, plain=plain)

    def info(self, task: str, plain: Plain) -> dict[str, Any]:
        """How the scoring of a task goes: of what runs, else of what chooses.

        Args:
            task: its name.
            plain: takes the server's folders out of a text.
        """
        with self._changed:
            mine = [each for each in self._accounts.values() if each.target.task == task]
        running = (each for each in mine if each.state == RUNNING)
        return scoring_info(next(running, mine[0] if mine else None), on=self._on, plain=plain)

    def _work(self) -> None:
        while not self._closed:
            try:
                target = next(filter(self._is_due, self._adopt()), None)
                if target is not None:
                    self._score(target)
                    continue
            except Exception:
                # Whatever it is, the server goes on, and at the next look it may be gone.
                _logger.exception("the scoring")
            with self._changed:
                if not self._closed:
                    self._changed.wait(self._look_seconds)

    def _adopt(self) -> tuple[Target, ...]:
        """Have an account for everything that is wanted, and for nothing else; first what was ordered."""
        wanted = self._targets.wanted()
        with self._changed:
            # Of a task the first one is told: what chooses.
            targets = dict.fromkeys((*wanted, *self._ordered))
            self._accounts = {target: self._accounts.get(target, Account(target)) for target in targets}
            return tuple(dict.fromkeys((*self._ordered, *wanted)))

    def _is_due(self, target: Target) -> bool:
        """Whether it is to be scored now; notes what stands in the way, and what has all its scores."""
        account, now_s = self._accounts[target], self._clock()
        looked_lately = now_s - account.looked_at < self._new_studies_seconds
        deleted = account.state == DONE and self._targets.are_deleted(target)
        rests = account.state in (DONE, FAILED) and looked_lately and not deleted
        if now_s < account.not_before or rests:
            return False
        coverage, away = self._look(target)
        if coverage is not None and not account.lacks(coverage):
            self._change(target, lambda each: each.covered(coverage, now_s))
        elif account.state == FAILED:
            self._change(target, lambda each: each.looked(now_s, coverage))
        elif away:
            self._change(target, lambda each: each.waits(now_s + _AWAY_SECONDS, away))
        else:
            self._change(target, lambda each: each.seen(coverage))
            return True
        return False

    def _look(self, target: Target) -> tuple[Coverage | None, str]:
        """What is scored, None where nobody knows; and why studies cannot be had, "" where they can."""
        try:
            return self._targets.coverage(target), self._targets.away()
        except ArchiveError as error:
            return None, error.message

    def _score(self, target: Target) -> None:
        """Have a process score this, until it ends or nobody wants it any more."""
        try:
            worker = Worker(
                self._command(self._files.write(self._targets.job(target))), self._files.log(target.name)
            )
        except OSError as error:
            self._broke_off(target, f"the process that scores cannot be started: {error}.", "")
            return
        self._change(target, lambda each: each.began(now()))
        _logger.info("the scoring of %s begins, process %d", target, worker.pid)
        hearing = Hearing(worker, lambda told: self._change(target, lambda each: each.heard(told)))
        with self._changed:
            self._worker = worker
        self.aside.tell(worker)
        unwanted = self._watch(target, worker, hearing)
        self.aside.tell(None)
        with self._changed:
            self._worker = None
        self._end(target, hearing, unwanted=unwanted)

    def _watch(self, target: Target, worker: Worker, hearing: Hearing) -> bool:
        """Wait until the process has ended; whether that was because nobody wants it any more."""
        unwanted = False
        while not hearing.ended(self._look_seconds):
            try:
                unwanted = target not in (*self._ordered, *self._targets.wanted())
            except Exception:
                # Whatever it is, the process must not be forgotten.
                _logger.exception("what is served cannot be looked at")
            if unwanted or self._closed:
                worker.stop(_PATIENCE_SECONDS)
        return unwanted or self._closed

    def _end(self, target: Target, hearing: Hearing, *, unwanted: bool) -> None:
        """Note how a process ended."""
        if hearing.result is not None:
            warnings = tuple(map(str, hearing.result.get("warnings", ())))
            self._change(target, lambda each: each.finished(now(), warnings))
            with self._changed:
                self._ordered = tuple(each for each in self._ordered if each != target)
            coverage, _ = self._look(target)
            if coverage is not None:
                self._change(target, lambda each: each.covered(coverage, self._clock()))
            computed, kept = (hearing.result.get(name) for name in ("scored", "kept"))
            _logger.info("the scoring of %s is complete: %s computed, %s kept", target, computed, kept)
        elif unwanted:
            self._change(target, lambda each: each.waits(self._clock()))
            _logger.info("the scoring of %s was ended: nobody needs it at the moment", target)
        else:
            self._broke_off(target, *hearing.problem())

    def _broke_off(self, target: Target, problem: str, hint: str) -> None:
        if away := self._targets.away():
            self._change(target, lambda each: each.waits(self._clock() + _AWAY_SECONDS, away))
            return
        account = self._change(target, lambda each: each.broke_off(now(), problem, hint, now=self._clock()))
        _logger.warning("the scoring of %s broke off: %s %s", target, problem, hint)
        for line in self._files.last_words(target.name):
            _logger.warning("  %s", line)
        if account is not None and account.state == FAILED:
            # An order ends with it: of a version that is served no more it would be tried for good.
            with self._changed:
                self._ordered = tuple(each for each in self._ordered if each != target)
            _logger.error("the scoring of %s is given up for now", target)

    def _change(self, target: Target, how: Callable[[Account], Account]) -> Account | None:
        """Change an account; None where nobody wants the target any more."""
        with self._changed:
            if target not in self._accounts:
                return None
            self._accounts[target] = how(self._accounts[target])
            return self._accounts[target]

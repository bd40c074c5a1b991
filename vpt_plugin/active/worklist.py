"""Worklist: which study a reader labels next; used by the server and the command line alike."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from vpt_plugin.acquisition.strategies import STRATEGIES, AutoSettings, choose
from vpt_plugin.active.chosen_scores import ScoreReader
from vpt_plugin.active.offers import ActiveSettings, Offer, Proposal, Wish, WorklistState
from vpt_plugin.active.proposals import given_before, order_of, proposal_of, refuse_unscored, second_reading
from vpt_plugin.active.second_reading import to_read_again
from vpt_plugin.active.standing import Known, check_wish, standing
from vpt_plugin.active.view import View
from vpt_plugin.active.worklist_state import state_of, warnings_of
from vpt_plugin.errors import UnknownTaskError
from vpt_plugin.models.catalog import MODELS, ModelSpec
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import Held, LeaseBook
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore


class Worklist:
    """Chooses among the studies without a label and gives them out; several threads may ask.

    Nothing in it reads a study or computes a network: the scores were written by a scoring, and are read once
    per version.

    Args:
        studies: where they come from.
        labels: what readers said about them.
        models: the model store; the scores lie beside its versions.
        leases: who has which study at the moment, and who had.
        tasks: those that may be asked for.
        settings: how the site wants it.
        networks: whose versions may choose; None takes all there are.
    """

    def __init__(
        self,
        studies: StudySource,
        labels: LabelFolder,
        models: ModelStore,
        leases: LeaseBook,
        tasks: Sequence[ReadingTask],
        settings: ActiveSettings,
        *,
        networks: Iterable[ModelSpec] | None = None,
    ) -> None:
        self._studies = studies
        self._labels = labels
        self._leases = leases
        self._tasks = {task.name: task for task in tasks}
        self._scores = ScoreReader(models, studies, MODELS.values() if networks is None else networks)
        self.settings = settings

    def next(self, wish: Wish) -> Offer:
        """The studies to label next, leased to the reader.

        Two who ask at once wait for each other, also in two processes, so that no study is given to both. The
        same wish once more, by its ``wish_id``, is answered with the same studies while they are leased.

        Raises:
            UnknownTaskError, UnknownModelError: the wish names what is not there.
            ConfigurationError: it asks for what cannot be.
            NotScoredError: the strategy needs scores, and there are none yet.
            LeaseError: the reader has too many studies already, or others keep the worklist.
            ArchiveError: which studies there are was never known.
            OSError: the leases cannot be written; then nothing was given.
        """
        # Before the others have to wait: the first look may take seconds.
        view = self._view(wish)
        with self._leases.choosing() as held:
            if given := self._given_before(view, wish):
                return self._offer(view, held, wish, given)
            view, proposals = self._undisputed(view, held, wish)
            orders = [order_of(each, wish, view.scores) for each in proposals]
            leases = self._leases.offer(orders, wish.reader) if orders else []
        given = [replace(each, lease=lease) for each, lease in zip(proposals, leases, strict=True)]
        held = replace(held, leases={**held.leases, **{lease.study: lease for lease in leases}})
        return self._offer(view, held, wish, given)

    def _given_before(self, view: View, wish: Wish) -> list[Proposal]:
        """What this very wish was answered with, as far as its reader still has it."""
        leases = self._leases.again(wish.wish_id, wish.reader, wish.task) if wish.wish_id else []
        dates = view.scores.dates
        return [
            given_before(each, self._labels.newest_version(each.study, wish.task), dates.get(each.study, ""))
            for each in leases
        ]

    def ranked(self, wish: Wish) -> Offer:
        """The studies without a label in the order in which the strategy would give them; nothing is leased.

        Without second readings, which no strategy orders.

        Raises:
            As ``next``, without LeaseError and OSError.
        """
        view, held = self._view(wish), self._held()
        known = view.known(held, wish)
        free = standing(known, wish).free
        proposals = self._first_readings(view, known, free, wish, self._rng(held, wish, 1)) if free else []
        return self._offer(view, held, wish, proposals)

    def state(self, task: str, *, reader: str = "") -> WorklistState:
        """How the worklist of a task stands; chooses nothing.

        Args:
            task: its name.
            reader: what they skipped counts; "" for nobody in particular.

        Raises:
            UnknownTaskError, ArchiveError: as ``next``.
        """
        wish = Wish(task, reader=reader)
        view, held = self._view(wish), self._held()
        return state_of(view, standing(view.known(held, wish), wish))

    def _held(self) -> Held:
        return Held(self._leases.held(), self._leases.history())

    def _view(self, wish: Wish) -> View:
        if wish.task not in self._tasks:
            raise UnknownTaskError(wish.task[:100], list(self._tasks))
        task = self._tasks[wish.task]
        check_wish(wish, task.findings)
        studies = tuple(self._studies.ids())
        labels = {versions[-1].study: versions[-1] for versions in self._labels.histories(task.name)}
        rows = studies if labels.keys() <= set(studies) else tuple(sorted({*studies, *labels}))
        trained = STRATEGIES[wish.strategy].needs == "probabilities"
        scores = self._scores.table(task, wish.model or self.settings.model, rows, trained=trained)
        # What an archive lists is known before anything is scored.
        scores = replace(scores, dates={**scores.dates, **self._studies.dates()})
        return View(task, studies, labels, scores, self._labels.in_doubt(task.name))

    def _undisputed(self, view: View, held: Held, wish: Wish) -> tuple[View, list[Proposal]]:
        """What is chosen, none of it labelled meanwhile: a label ends a lease after it was saved."""
        while True:
            proposals = self._chosen(view, held, wish)
            late = {
                each.study
                for each in proposals
                if self._labels.newest_version(each.study, wish.task) != each.label_version
            }
            if not late:
                return view, proposals
            view = replace(view, late=view.late | late)

    def _chosen(self, view: View, held: Held, wish: Wish) -> list[Proposal]:
        """Up to ``n`` proposals; each is a second reading with the probability that the site has set."""
        known = view.known(held, wish)
        free = standing(known, wish).free
        rng = self._rng(held, wish, 0)
        drawn = rng.random(wish.n) < self.settings.double_read
        second: list[Proposal] = []
        if drawn.any():
            # A look at what every reader said, which is not needed else.
            again = rng.permutation(
                [
                    each
                    for each in to_read_again(self._labels, held.history, known, wish)
                    if view.counts_on(each)
                ]
            )
            second = [second_reading(str(study), view) for study in again[: int(drawn.sum())]]
        first: list[Proposal] = []
        if free and len(second) < wish.n:
            rest = replace(wish, n=wish.n - len(second))
            first = self._first_readings(view, known, free, rest, self._rng(held, wish, 1))
        return [*second, *first] if drawn[0] else [*first, *second]

    def _first_readings(
        self, view: View, known: Known, free: Sequence[str], wish: Wish, rng: np.random.Generator
    ) -> list[Proposal]:
        pool = view.pool(known, free)
        refuse_unscored(wish, view.scores, pool)
        settings = self.settings
        auto = AutoSettings(min_each=settings.min_each, random_share=settings.random_share)
        choices = choose(
            wish.strategy,
            pool,
            wish.n,
            rng,
            seed=settings.seed,
            finding=wish.finding,
            auto=auto,
            geometry=view.scores.geometry,
        )
        return [proposal_of(each, view.scores) for each in choices]

    def _rng(self, held: Held, wish: Wish, purpose: int) -> np.random.Generator:
        """Another one for each offer, and the same one again after a restart."""
        number = len(held.history.offers)
        return np.random.default_rng([self.settings.seed, zlib.crc32(wish.task.encode()), number, purpose])

    def _offer(self, view: View, held: Held, wish: Wish, proposals: Sequence[Proposal]) -> Offer:
        stands = standing(view.known(held, wish), wish)
        warnings = warnings_of(view, stands, wish, len(proposals))
        return Offer(wish, tuple(proposals), state_of(view, stands), tuple(warnings))

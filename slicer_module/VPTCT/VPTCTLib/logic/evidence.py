"""Evidence: where in the patient the answer comes from, and the slice that is on screen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable

from ..contract.result import FindingResult, Result
from ..scene.geometry import geometry_of
from ..scene.jump import SliceWatch, align_to_volume, current_z, jump_to
from ..scene.results import KeptResult
from ..scene.volume_watch import can_be_read
from ..settings import JUMP_TO_KEY_SLICE, Settings
from ..signal import Signal
from ..ticker import Ticker, Timer
from .curve import SliceAxis
from .profile import Profile, profile_of

if TYPE_CHECKING:
    from .classification import Classification
    from .label_draft import LabelDraft
    from .study_on_screen import StudyOnScreen

# Scrolling brings more slices than anybody sees drawn.
_MOVE_SECONDS = 0.03


class Evidence:
    """Of the chosen finding of the study on screen.

    Args:
        study: that is on screen.
        classification: has the answer.
        draft: has the chosen finding, and the ranges that the reader marked.
        settings: whether to jump by itself.
        ticker: of the main thread.
        is_blind: whether the answer is hidden from the reader at the moment.

    Attributes:
        changed: ``profile`` is another, or the answer is hidden or shown.
        moved: ``here`` is another; while the reader scrolls, not more often than can be drawn.
        profile: what is known along z; None without a study.
        here: patient z of the slice on screen; None where no view shows one.
    """

    def __init__(
        self,
        study: StudyOnScreen,
        classification: Classification,
        draft: LabelDraft,
        settings: Settings,
        ticker: Ticker,
        is_blind: Callable[[], bool],
    ) -> None:
        self._study, self._classification, self._draft = study, classification, draft
        self._settings, self._ticker, self._is_blind = settings, ticker, is_blind
        self.changed, self.moved = Signal(), Signal()
        self.profile: Profile | None = None
        self.here: float | None = None
        # For a scene that is looked at without a server, and so without a form.
        self._looked_for = ""
        self._kept: KeptResult | None = None
        self._shown: tuple[SliceAxis, FindingResult | None] | None = None
        self._told: tuple[object, ...] = ()
        self._volume: Any = None
        self._looked_at: Any = None
        self._watch: SliceWatch | None = None
        self._timer: Timer | None = None
        # Which tells what changes in the study and in the choice, too.
        classification.changed.connect(self.look)
        classification.finished.connect(self._on_answer)
        draft.changed.connect(self._on_draft)
        self.look()

    @property
    def is_hidden(self) -> bool:
        """Whether there is an answer that the reader must not see yet: this study is read blind."""
        return self._kept is not None and self._is_blind()

    @property
    def kept(self) -> KeptResult | None:
        """The answer for the volume, task and network on screen, where the reader may see it."""
        return None if self._is_blind() else self._kept

    @property
    def result(self) -> Result | None:
        """What ``kept`` says."""
        kept = self.kept
        return None if kept is None else kept.result

    @property
    def volume(self) -> Any:
        """The volume on screen; None where there is none that can be read."""
        return self._volume

    @property
    def findings(self) -> tuple[str, ...]:
        """The names of the task's findings; of the answer's, where no server tells of tasks."""
        result = self.result
        if self._draft.findings or result is None:
            return self._draft.findings
        return tuple(each.name for each in result.findings)

    @property
    def finding(self) -> str:
        """The name of the chosen one; "" for none."""
        findings = self.findings
        if self._draft.finding or not findings:
            return self._draft.finding
        return self._looked_for if self._looked_for in findings else findings[0]

    def choose(self, finding: str) -> None:
        """Look at this finding from now on."""
        self._looked_for = finding
        self._draft.choose(finding)
        self._update()

    def answer(self) -> FindingResult | None:
        """What the network says of the chosen finding."""
        result = self.result
        if result is None:
            return None
        return next((each for each in result.findings if each.name == self.finding), None)

    # Where to look

    def jump(self, z_mm: float) -> None:
        """Show the slice nearest to this z."""
        if self._volume is not None:
            jump_to(self._volume, z_mm)

    def jump_to_key_slice(self) -> None:
        """Show the slice that speaks most for the answer."""
        if self.profile is not None and self.profile.key_slice_mm is not None:
            self.jump(self.profile.key_slice_mm)

    def step(self, slices: int) -> None:
        """Show a slice so many nearer to the head; below 0, to the feet."""
        if self.profile is not None and self.here is not None:
            axis = self.profile.axis
            wanted = axis.slice_of(self.here) + slices
            self.jump(axis.z_of(min(max(wanted, 0), axis.slices - 1)))

    def peak(self, direction: int) -> float | None:
        """Patient z of the next hill of the curve to the head (+1) or to the feet (-1); None for no more."""
        if self.profile is None or self.here is None:
            return None
        half = self.profile.axis.step_mm / 2
        ahead = [z for z in self.profile.peaks if (z - self.here) * direction > half]
        return min(ahead, key=lambda z: abs(z - (self.here or 0.0)), default=None)

    def jump_to_peak(self, direction: int) -> None:
        """Show the next hill of the curve to the head (+1) or to the feet (-1)."""
        z = self.peak(direction)
        if z is not None:
            self.jump(z)

    # What the reader marks

    @property
    def may_mark(self) -> bool:
        """Whether there is a finding to mark slices of, and the views show these slices."""
        return bool(self._draft.finding) and not self._study.is_not_seen

    def mark(self, low_mm: float, high_mm: float) -> None:
        """These slices show the chosen finding."""
        self._draft.add_range(self.finding, low_mm, high_mm)

    def change(self, index: int, low_mm: float, high_mm: float) -> None:
        """Other slices do, in place of those of a range."""
        self._draft.change_range(self.finding, index, low_mm, high_mm)

    def remove(self, index: int) -> None:
        """The slices of this range do not, after all."""
        self._draft.remove_range(self.finding, index)

    # What goes on

    def look(self) -> None:
        """Look which study and answer there are, and whether the reader may see it."""
        kept = self._classification.kept
        if kept != self._kept:
            # The same answer stays the same object: who shows it sees at once that nothing is new.
            self._kept = kept
        self._looked_at = self._study.volume
        volume = self._looked_at if can_be_read(self._looked_at) else None
        if volume is not self._volume:
            self._follow(volume)
        self._update()

    def _on_draft(self) -> None:
        """The form is told of another volume before the rest: marks never meet a volume they are not of."""
        if self._study.volume is self._looked_at:
            self._update()
        else:
            self.look()

    def _update(self) -> None:
        """Look what the reader chose and marked."""
        self.profile = self._profile()
        told = (self._volume, self.profile, self.kept, self.is_hidden, self.finding, self.may_mark)
        if told != self._told:
            self._told = told
            self.changed.emit()

    def close(self) -> None:
        """Follow the views no more."""
        self._follow(None)

    def _profile(self) -> Profile | None:
        """That of now; what was computed of an answer is kept as long as the answer is the same."""
        if self._volume is None:
            self._shown = None
            return None
        geometry = geometry_of(self._volume)
        shown = SliceAxis(geometry.first_z_mm, geometry.step_mm, geometry.slices), self.answer()
        ranges = tuple(self._draft.ranges(self.finding))
        if self.profile is not None and shown == self._shown:
            return replace(self.profile, ranges=ranges)
        self._shown = shown
        return profile_of(*shown, ranges)

    def _follow(self, volume: Any) -> None:
        """Watch the slices of this volume."""
        if self._watch is not None:
            self._watch.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = None
        self._volume = volume
        self._watch = None if volume is None else SliceWatch(volume, self._on_slice)
        self.here = None if volume is None else current_z(volume)
        self.moved.emit()

    def _on_slice(self, z_mm: float | None) -> None:
        self.here = z_mm
        if self._timer is None:
            self._timer = self._ticker.after(_MOVE_SECONDS, self._tell_moved)

    def _tell_moved(self) -> None:
        self._timer = None
        self.moved.emit()

    def _on_answer(self, volume: Any, result: Result) -> None:
        """An answer came: show where it comes from, where the volume it is of is still on screen."""
        # ``changed`` of the classification comes later.
        self.look()
        if volume is self._volume and self._settings.get(JUMP_TO_KEY_SLICE) and self.result is not None:
            align_to_volume(volume)
            self.jump_to_key_slice()

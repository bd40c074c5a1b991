"""HeatMaps: why the network says what it says: where in the volume on screen it saw the chosen finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contract.evidence import MapOfFinding
from ..i18n import tr as _
from ..scene.heat_map import is_drawn
from ..scene.overlay import Overlay
from ..scene.results import remove_results_of_missing_volumes
from ..settings import JUMP_TO_KEY_SLICE, Settings
from ..signal import Signal
from ..ticker import Ticker, Timer
from .classify_run import IDLE

if TYPE_CHECKING:
    from .classification import Classification
    from .evidence import Evidence
    from .server_link import ServerLink
    from .study_on_screen import StudyOnScreen

_OPACITY = 0.5


class HeatMaps:
    """The map of the chosen finding, where the answer on screen has one, over the volume in the slice views.

    Args:
        server: that is asked.
        study: on screen, and what the views show.
        classification: asks it.
        evidence: has the answer that the reader may see, and the chosen finding.
        settings: whether to jump by itself.
        ticker: of the main thread.

    Attributes:
        changed: any of these.
        is_shown: whether maps are laid over their volumes; not until the reader wants that.
        opacity: of a map, from 0 to 1.
    """

    def __init__(
        self,
        server: ServerLink,
        study: StudyOnScreen,
        classification: Classification,
        evidence: Evidence,
        settings: Settings,
        ticker: Ticker,
    ) -> None:
        self._server, self._classification = server, classification
        self._evidence, self._settings, self._ticker = evidence, settings, ticker
        self._overlay = Overlay()
        self._scene: Any = None
        self._timer: Timer | None = None
        self.changed = Signal()
        self.is_shown, self.opacity = False, _OPACITY
        evidence.changed.connect(self._draw)
        # Which tells what changes on the server and in what runs.
        classification.changed.connect(self.changed.emit)
        classification.finished.connect(self._on_answer)
        # Who puts another volume into the views takes away what lay over the one before.
        study.watch.turned.connect(lambda _seen: self._draw())
        study.watch.went.connect(lambda _volume_id: self._tidy_soon())

    @property
    def why_not(self) -> str:
        """Why the reader cannot ask where the answer comes from, in words; "" where they can."""
        info = self._server.info
        if info is not None and not info.features.explain:
            return _("This server cannot tell where its networks look: it is of an older version.")
        if self._evidence.is_hidden:
            return _("This study is read blind: ask when your label is saved.")
        if self._classification.state != IDLE:
            return _("This volume is being classified.")
        return self._classification.can_start

    @property
    def map(self) -> MapOfFinding | None:
        """What the server says of the map of the chosen finding; None where there is no map to show."""
        result = self._evidence.result
        if result is None or result.heat_map is None or self._node() is None:
            return None
        return result.heat_map.of(self._evidence.finding)

    @property
    def words(self) -> str:
        """Where the map is hottest and how it was made; "" without one."""
        told, result = self.map, self._evidence.result
        if told is None or result is None or result.heat_map is None:
            return ""
        if told.key_slice_mm is None:
            words = _("Nothing in this volume speaks for it. ({method})")
        elif is_drawn(self._node()):
            words = _("Hottest at z = {z} mm. ({method})")
        else:
            words = _("So little speaks for it that nothing is drawn; most at z = {z} mm. ({method})")
        z_mm = "" if told.key_slice_mm is None else f"{told.key_slice_mm:.1f}".replace("-", "−")
        return words.format(z=z_mm, method=result.heat_map.method)

    def ask(self) -> None:
        """Have the volume on screen classified again, and told where the answer comes from."""
        if not self.why_not:
            self._classification.start(explain=True)

    def show(self, wanted: bool) -> None:
        """Lay the map over the volume, or take it away; the same for every volume from now on."""
        self.is_shown = wanted
        self._draw()

    def toggle(self) -> None:
        """Lay the map over the volume where it is not, and the other way round."""
        if self.map is not None:
            self.show(not self.is_shown)

    def set_opacity(self, opacity: float) -> None:
        """Let more or less of the volume be seen below the map."""
        self.opacity = opacity
        self._draw()

    def jump(self) -> None:
        """Show the slice in which the map is hottest."""
        told = self.map
        if told is not None and told.key_slice_mm is not None:
            self._evidence.jump(told.key_slice_mm)

    def use(self, scene: Any) -> None:
        """Look after the views of this scene from now on."""
        self._scene = scene
        self._overlay.use(scene)
        self._draw()

    def leave(self) -> None:
        """The scene closes, or the panel does: no map stays over a volume."""
        if self._timer is not None:
            self._timer.stop()
        self._scene = self._timer = None
        self._overlay.leave()

    def _tidy_soon(self) -> None:
        """A map without its volume is in the way. Not at once: the scene is just removing a node."""
        if self._timer is None and self._scene is not None:
            self._timer = self._ticker.after(0, self._tidy)

    def _tidy(self) -> None:
        self._timer = None
        remove_results_of_missing_volumes(self._scene)

    def _node(self) -> Any:
        kept = self._evidence.kept
        return None if kept is None else kept.nodes.heat_map(self._evidence.finding)

    def _draw(self) -> None:
        self._overlay.show(self._node() if self.is_shown else None, self.opacity)
        self.changed.emit()

    def _on_answer(self, volume: Any, _result: object) -> None:
        """An answer came; where it tells why, the map's hottest slice is nearer to it than the key slice."""
        if volume is self._evidence.volume and self._settings.get(JUMP_TO_KEY_SLICE):
            self.jump()

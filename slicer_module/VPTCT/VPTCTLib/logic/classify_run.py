"""ClassifyRun: one classification, from the click to the answer. Its steps follow in the main thread."""

from __future__ import annotations

from typing import Any, Callable

from ..contract.info import ServerInfo
from ..contract.login import UploadSession
from ..errors import NotThereError, VptctError
from ..i18n import tr as _
from ..jobs import Job, OnProgress, Work
from ..scene.export import snapshot
from ..scene.fingerprint import Fingerprint, fingerprint_of, revision
from ..scene.refusal import refusal_of
from ..which_study import OnServer, ToUpload, which_study
from .asking import Answer
from .classify_order import Bench, NotAgreedError, NotKeptError, Order
from .line_watch import LineWatch, in_line
from .study_upload import StudyUpload, form_for, upload_in_words
from .upload_sessions import Uploaded

IDLE, WAITING, ASKING = "idle", "waiting", "asking"
PREPARING, UPLOADING, COMPUTING = "preparing", "uploading", "computing"


class ClassifyRun:
    """Asks where the study is, prepares and uploads it where it must be, and waits for the answer.

    Args:
        order: what for.
        bench: what it works with.
        changed: is called when it goes on.
        ended: is called with this and what came of it: an Answer or an error; not after ``cancel``.

    Attributes:
        state: ``waiting`` until ``begin``; ``asking``, ``preparing``, ``uploading``, ``computing``; then
            ``idle``.
        progress: bytes sent and in all while uploading, slices while preparing; None otherwise.
        ahead: how many studies the server takes before this one; None where that is not known.
        of: the fingerprint of the volume that was asked about.
    """

    def __init__(
        self,
        order: Order,
        bench: Bench,
        changed: Callable[[], object],
        ended: Callable[[ClassifyRun, Answer | VptctError], object],
    ) -> None:
        self.order = order
        self._bench, self._changed, self._ended = bench, changed, ended
        self.state = WAITING
        self.progress: tuple[int, int] | None = None
        self.ahead: int | None = None
        self._line: LineWatch | None = None
        self.of: Fingerprint | None = None
        self._revision = ""
        self._job: Job[Any] | None = None
        self._may_go_back, self._cancelled = True, False

    def begin(self, place: OnServer | ToUpload | None) -> None:
        """Its turn has come.

        Args:
            place: where the study is; None where that is not known.
        """
        volume = self.order.volume
        refusal = refusal_of(volume)
        if refusal:
            # It waited in line, and is another one by now.
            self._end(NotKeptError(refusal))
            return
        self.of, self._revision = fingerprint_of(volume), revision(volume)
        if place is None:
            self._ask()
        else:
            self._go_to(place)

    def cancel(self) -> None:
        """End it; the connection is closed, by which the server stops, too. ``ended`` is not called."""
        self.state, self.progress, self._cancelled = IDLE, None, True
        self._leave_line()
        if self._job is not None:
            # Not dropped: an upload that has just come to its end is still to be kept or removed.
            self._job.cancel()

    def _ask(self) -> None:
        order, origin = self.order, self._bench.origin_of(self.order.volume)

        def call(work: Work) -> OnServer | ToUpload:
            info = order.info
            return which_study(origin, order.client, info.studies, work.cancel, server_id=info.server_id)

        self._start(ASKING, call, self._go_to)

    def _go_to(self, place: OnServer | ToUpload) -> None:
        if isinstance(place, OnServer):
            self._classify(place.study)
        else:
            self._upload(place.why)

    def _classify(self, study: str) -> None:
        asking = self._bench.asking(self.order)

        def failed(error: VptctError) -> None:
            if isinstance(error, NotThereError) and self._may_go_back:
                # It was there a moment ago: ask again, and upload it.
                self._may_go_back = False
                self._ask()
            else:
                self._end(error)

        def call(work: Work) -> Answer:
            return asking.study(study, work.cancel)

        self._compute(call, failed)

    def _upload(self, why: str) -> None:
        order, bench = self.order, self._bench
        needs = bench.needs(order)
        upload = StudyUpload(
            bench.asking(order), order.info.server_id, snapshot(order.volume), needs, order.info.uploads
        )
        uploaded = Uploaded(order.client, order.volume_id, self._revision, needs)
        session = bench.sessions.find(uploaded)
        if session is not None:
            self._classify_upload(uploaded, session, why)
            return
        self._go_on(ASKING, None)
        # Not from the callback of a job: while a dialog is open inside of it, no job would get on.
        bench.ticker.after(0, lambda: self._send(upload, uploaded, why) if self._agreed(why) else None)

    def _agreed(self, why: str) -> bool:
        """Whether the reader lets the study go; all may be over before the question, or after it."""
        if self._is_over():
            return False
        order = self.order
        form = form_for(order.client, order.info.uploads)
        what = _("Of {name} the slices alone go: {what}, and no other data of the patient.").format(
            name=order.volume_name, what=upload_in_words(order.volume, self._bench.needs(order), form)
        )
        agreed = self._bench.questions.may_upload(order.client.address, why, what)
        if self._is_over():
            return False
        if not agreed:
            self._end(NotAgreedError(_("Nothing was uploaded, so nothing was classified.")))
        return agreed

    def _send(self, upload: StudyUpload, uploaded: Uploaded, why: str) -> None:
        sessions, client = self._bench.sessions, self.order.client

        def keep(came: UploadSession | Answer) -> None:
            if (speed := client.studies.link.bytes_per_second) is not None:
                self._bench.settings.remember_link_speed(client.address, speed)
            # Whatever happened meanwhile: a session that nobody knows would stay on the server.
            if isinstance(came, UploadSession):
                sessions.keep(uploaded, came)
                if self._trouble() is not None:
                    sessions.forget_volume(uploaded.volume_id)

        def done(came: UploadSession | Answer) -> None:
            if isinstance(came, UploadSession):
                self._classify_upload(uploaded, came, why)
            else:
                self._end(came)

        def progress(done: int, total: int) -> None:
            sends = total == upload.upload_bytes
            answers = sends and done == total and not upload.keeps_session
            self._go_on(COMPUTING if answers else UPLOADING if sends else PREPARING, (done, total))

        self._start(PREPARING, upload, done, always=keep, progress=progress)

    def _classify_upload(self, uploaded: Uploaded, session: UploadSession, why: str) -> None:
        asking = self._bench.asking(self.order)

        def failed(error: VptctError) -> None:
            if isinstance(error, NotThereError) and self._may_go_back:
                # It has expired, or the server was started anew.
                self._may_go_back = False
                self._bench.sessions.lost(uploaded)
                self._upload(why)
            else:
                self._end(error)

        def call(work: Work) -> Answer:
            return asking.upload(session, work.cancel)

        self._compute(call, failed)

    def _compute(self, call: Callable[[Work], Answer], failed: Callable[[VptctError], object]) -> None:
        """Get in line on the server, and be answered."""
        bench, client = self._bench, self.order.client

        def seen(info: ServerInfo) -> None:
            self.ahead = in_line(info)
            self._start(COMPUTING, call, self._end, failed)
            if self.ahead:
                self._line = LineWatch(client, bench.jobs, bench.ticker, self.ahead, self._moves_up)

        self._start(COMPUTING, lambda work: client.access.info(work.cancel), seen)

    def _moves_up(self, ahead: int) -> None:
        self.ahead = ahead
        self._changed()

    def _leave_line(self) -> None:
        if self._line is not None:
            self._line.stop()
        self._line, self.ahead = None, None

    def _start(
        self,
        state: str,
        call: Callable[[Work], Any],
        done: Callable[[Any], object],
        failed: Callable[[VptctError], object] | None = None,
        *,
        always: Callable[[Any], object] | None = None,
        progress: OnProgress | None = None,
    ) -> None:
        """Begin a step; ``always`` gets what it brings, ``done`` only where that is still wanted."""

        def came(value: Any) -> None:
            if always is not None:
                always(value)
            if not self._is_over():
                done(value)

        def broke(error: VptctError) -> None:
            self._leave_line()
            if not self._is_over():
                (failed or self._end)(error)

        self._job = self._bench.jobs.start(call, came, broke, progress=progress)
        self._go_on(state, None)

    def _go_on(self, state: str, progress: tuple[int, int] | None) -> None:
        if not self._cancelled:
            self.state, self.progress = state, progress
            self._changed()

    def _is_over(self) -> bool:
        """Whether it was ended, or ends now because the volume is not what it was."""
        trouble = None if self._cancelled else self._trouble()
        if trouble is not None:
            self._end(trouble)
        return self._cancelled or trouble is not None

    def _trouble(self) -> NotKeptError | None:
        name = self.order.volume_name
        if self.order.volume.GetScene() is None:
            return NotKeptError(_("{name} is gone, and so its answer is not kept.").format(name=name))
        if revision(self.order.volume) != self._revision:
            return NotKeptError(
                _("{name} was changed while it was classified.").format(name=name),
                _("An answer would be of what it was before: classify it again."),
            )
        return None

    def _end(self, outcome: Answer | VptctError) -> None:
        self.state, self.progress = IDLE, None
        self._leave_line()
        self._ended(self, outcome)

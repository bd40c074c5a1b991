"""From the click to what the server has read: the module's upload against that of the stock Slicer path.

Theirs: the volume written as Slicer writes it (.nii.gz by ITK, compressed as it does by default), uploaded,
read. Ours: reduced to what the task needs, packed, uploaded, read. Both by the module's own requests to a
real server, over a link of a given speed; the seconds are those until a small network answers, less what it
and the preparing for it took. ``ours, first`` is the form that is taken before anything is known of a link to
another computer.

The study is a phantom of 300 slices of 512 x 512 with the noise of a CT.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import SimpleITK as sitk  # noqa: N813  as everybody writes it
from numpy.typing import NDArray
from side_by_side import Done, SideBySide, Target, parser
from slow_link import SlowLink

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "apps"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "slicer_module" / "VPTCT"))
# What makes the wheel slicer-core look as Slicer does.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "slicer"))

from server_process import ServerProcess
from standin.wheel import missing_scene

from vpt_plugin.data.phantom import PhantomConfig, make_phantom
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

SPACING_MM = (1.0, 0.7, 0.7)
PIXELS = 256
TASK = TASKS["pe"]
LINKS = {"1 Gbit/s": 1e9, "100 Mbit/s": 1e8, "no limit": 0.0}
# The one with a target.
JUDGED = "1 Gbit/s"
STOCK, OURS, FIRST = "stock .nii.gz", "ours", "ours, first"
# As the module has it before it knows a link to another computer: slower than where it changes its form.
_SLOW_BYTES_PER_SECOND = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, after making the study."""
    arguments = parser(__doc__).parse_args(argv)
    bench = SideBySide("upload", "300 slices of 512 x 512 from the click until the server has read them")
    if missing := missing_scene():
        for way in (OURS, FIRST):
            bench.skip(JUDGED, way, f"needs Slicer's scene: {missing}", target=Target(at_least=10))
        return bench.finish()
    networks = ("tiny",) if arguments.quick else ("tiny", "csn_r101")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hu = study()
        with served(folder, networks) as server:
            for link, bits_per_second in LINKS.items():
                if arguments.quick and link != JUDGED:
                    bench.skip(link, OURS, "full form only")
                    continue
                race(bench, server, hu, folder, link, bits_per_second, quick=arguments.quick)
            for network in networks:
                compare_answers(bench, server, hu, folder, network)
    return bench.finish()


def race(
    bench: SideBySide, server: ServerProcess, hu: NDArray[np.int16], folder: Path, link: str,
    bits_per_second: float, *, quick: bool,
) -> None:  # fmt: skip
    """The rows of one link."""
    rounds = 3 if quick else 5
    with SlowLink(int(server.url.rpartition(":")[2]), bits_per_second=bits_per_second) as slow:
        theirs, ours, first = (
            Way(slow.url, hu, folder), Way(slow.url, hu, folder), Way(slow.url, hu, folder, known=False)
        )  # fmt: skip
        ours.module()  # after one upload the speed of the link is known
        ways = {STOCK: theirs.stock, OURS: ours.module, FIRST: first.module}
        wanted = dict.fromkeys((OURS, FIRST), Target(at_least=10)) if link == JUDGED else {}
        bench.race(link, ways, rounds=rounds, against=STOCK, targets=wanted, warm_up=not quick)
        for name, way in ((STOCK, theirs), (OURS, ours), (FIRST, first)):
            bench.figure(link, f"{name}, bytes", way.size_bytes / 1e6, "MB")


class Way:
    """A client to the server behind a link, with a volume on screen.

    Args:
        address: of the link.
        hu: the volume (slices, rows, columns).
        folder: for files on their way.
        known: whether it remembers how fast earlier uploads were.
        network: which one answers.
        pixels: slices are reduced to this for ours.
    """

    def __init__(
        self, address: str, hu: NDArray[np.int16], folder: Path, *, known: bool = True, network: str = "tiny",
        pixels: int = PIXELS,
    ) -> None:  # fmt: skip
        from VPTCTLib.client import Client
        from VPTCTLib.contract.info import StudyNeeds
        from VPTCTLib.scene.export import VolumeSnapshot
        from VPTCTLib.scene.geometry import geometry_of_matrix
        from VPTCTLib.transport.connection import Connection

        self._client = Client(Connection(address))
        self._info = self._client.access.info()
        self._model = f"{TASK.name}_{network}"
        slice_mm, row_mm, column_mm = SPACING_MM
        matrix = np.diag([-column_mm, -row_mm, slice_mm, 1.0])
        self._taken = VolumeSnapshot(hu, geometry_of_matrix(matrix, hu.shape), "1")
        self._needs = StudyNeeds(-1024, 3071, pixels)
        self._folder, self._known = folder, known
        self.size_bytes = 0
        self.probability = 0.0

    def stock(self) -> Done:
        """Write, upload and have read as a stock Slicer does."""
        began = time.perf_counter()
        image = sitk.GetImageFromArray(self._taken.voxels)
        image.SetSpacing(SPACING_MM[::-1])
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(self._folder / "study.nii.gz"))
        writer.UseCompressionOn()
        writer.Execute(image)
        session = self._client.studies.upload([self._folder / "study.nii.gz"], progress=self._sent)
        return self._answered(session, began)

    def module(self) -> Done:
        """Upload and have read as our module does."""
        from VPTCTLib.jobs import Work
        from VPTCTLib.logic.study_upload import StudyUpload

        if not self._known:
            self._client.studies.link.bytes_per_second = _SLOW_BYTES_PER_SECOND
        began = time.perf_counter()
        upload = StudyUpload(
            self._client, self._info.server_id, self._taken, self._needs, self._info.uploads, self._model,
            self._folder,
        )  # fmt: skip
        session = upload(Work())
        self.size_bytes = upload.upload_bytes or 0
        return self._answered(session, began)

    def _sent(self, done: int, total: int) -> None:
        self.size_bytes = total

    def _answered(self, session: Any, began: float) -> Done:
        self._client.access.info()  # as the module does, to tell who comes before
        result = self._client.studies.classify_upload(self._model, session)
        seconds = time.perf_counter() - began
        self._client.studies.forget_upload(session)
        self.probability = result.findings[0].probability
        return Done(seconds - result.seconds["prepare"] - result.seconds["network"])


def compare_answers(
    bench: SideBySide, server: ServerProcess, hu: NDArray[np.int16], folder: Path, network: str
) -> None:
    """How far the probability of the module's upload, in both forms, is from that of the whole study."""
    pixels = get_model(network).resize_px
    ways = [
        Way(server.url, hu, folder, known=known, network=network, pixels=pixels) for known in (True, False)
    ]
    ways[0].stock()
    whole = ways[0].probability
    for way in ways:
        way.module()
    difference = max(abs(way.probability - whole) for way in ways)
    bench.figure(
        "probability", f"{network}, ours less the stock path's", difference, "", target=Target(at_most=1e-3),
        note=f"of the whole study {whole:.4f}",
    )  # fmt: skip


@contextmanager
def served(folder: Path, networks: Sequence[str]) -> Iterator[ServerProcess]:
    """A real server with a version of each network, whose weights are random."""
    for network in networks:
        spec = get_model(network)
        card = ModelCard(TASK.name, network, TASK.findings, "none", spec.clip_slices)
        ModelStore(folder / "models").publish(new_classifier(spec, TASK.findings, seed=0), card)
    (folder / "studies").mkdir()
    conf = {"tasks": TASK.name, "models": ",".join(networks), "device": "cpu", "scoring": "off",
            "models_dir": str(folder / "models")}  # fmt: skip
    with ServerProcess(folder / "studies", conf=conf) as server:
        yield server


def study() -> NDArray[np.int16]:
    """A phantom made larger, with fine noise, (300, 512, 512) HU."""
    config = PhantomConfig(pixels=128, slice_spacings_mm=(1.0,))
    phantom = make_phantom(3, config=config, nodule=True, contrast=True, emboli=True).volume.hu
    rng = np.random.default_rng(0)
    hu = np.empty((300, 512, 512), dtype=np.int16)
    for target, index in zip(hu, np.linspace(0, len(phantom) - 1, len(hu)).round().astype(int), strict=True):
        large = cv2.resize(phantom[index].astype(np.float32), (512, 512), interpolation=cv2.INTER_CUBIC)
        noise = 25 * cv2.GaussianBlur(rng.standard_normal((512, 512), dtype=np.float32), (0, 0), 0.7)
        target[:] = np.clip(np.rint(large + noise), -1024, 3071)
    return hu


if __name__ == "__main__":
    raise SystemExit(main())

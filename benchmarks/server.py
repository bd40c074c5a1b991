"""How a server answers while it works: ``/info/`` under an inference, equal questions, a second one, a batch.

A real server in a process of its own, over phantom studies, with a network of random weights that takes some
seconds for a study. The client runs beside it, on the same cores.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import requests
from side_by_side import SideBySide, Target, parser
from studies import noise

from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import get_task
from vpt_plugin.training.model_store import ModelStore

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps"))

from server_process import ServerProcess

TASK = "pe"
EQUAL_CLIENTS, MANY_CLIENTS = 8, 60
MEDIAN, WORST, SECOND = (Target(at_most=most) for most in (50, 300, 100))
# None at all would be a kept answer where there can be none.
ONCE = Target(at_least=1, at_most=1)
# Often enough for a 99th percentile of some seconds.
_POLL_SECONDS = 0.02


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, after making the studies."""
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=300)
    options.add_argument("--network", default="slowfast_r50")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="more of --conf")
    arguments = options.parse_args(argv)
    bench = SideBySide("server", f"a server over studies of {arguments.slices} slices of 512 x 512")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(MANY_CLIENTS + 1) as clients:
        root = Path(folder)
        studies = make_studies(root / "studies", arguments.slices, 4 if arguments.quick else 8)
        publish(root / "models", arguments.network)
        conf = {"scoring": "off", "models_dir": str(root / "models")}
        conf |= dict(each.split("=", 1) for each in arguments.set)
        # A home of its own: what was compiled for an earlier run is not there.
        home = {"VPTCT_HOME": str(root / "home")}
        with ServerProcess(root / "studies", conf=conf, environment=home) as process:
            server = Server(process, f"{TASK}_{arguments.network}", clients)
            warm = clients.submit(server.seconds_to_warm)
            tell_info(bench, "the network is made ready", server.poll_info(warm), MEDIAN, WORST)
            bench.figure("start", "open, until the network is warm", warm.result(), "s")
            if not arguments.quick:
                measure_many(bench, server, studies.pop())
            measure(bench, server, studies)
    return bench.finish()


def measure(bench: SideBySide, server: Server, studies: Sequence[str]) -> None:
    """All rows of the quick form."""
    tell_info(bench, "idle", server.poll_info(clients_wait(2.0, server.clients)))
    alone = server.clients.submit(server.answer, studies[0])
    tell_info(bench, "one inference runs", server.poll_info(alone), MEDIAN, WORST)
    one_seconds = alone.result()["seconds"]["total"]
    bench.figure("an inference", "alone, while /info/ is asked", one_seconds, "s")

    seconds, answers = server.ask_at_once(studies[1], EQUAL_CLIENTS)
    what = f"{EQUAL_CLIENTS} equal clients"
    bench.figure(what, "computations", computations(answers), "", target=ONCE)
    bench.figure(what, "until all have the answer", seconds, "s", note=f"one alone: {one_seconds:.1f} s")
    again = [1000 * server.seconds_of(studies[1]) for _ in range(20)]
    bench.figure("the same study once more", "kept answer", again, "ms", target=SECOND)

    lines = list(server.batch())
    new = [at for at, line in lines if "result" in line and not line["result"]["vptct"]["kept"]]
    of = f"{len(new)} new of {len(studies)}"
    bench.figure("a batch", "first line, a kept answer", lines[0][0], "s")
    bench.figure("a batch", "first new answer", new[0], "s")
    bench.figure("a batch", f"whole, {of}", lines[-1][0], "s")


def measure_many(bench: SideBySide, server: Server, study: str) -> None:
    """``/info/`` while more wait for one study than a server has threads for its routes."""
    asked = server.clients.submit(server.ask_at_once, study, MANY_CLIENTS - 1)
    tell_info(bench, f"{MANY_CLIENTS - 1} clients wait", server.poll_info(asked), MEDIAN, WORST)
    what = f"{MANY_CLIENTS - 1} equal clients"
    bench.figure(what, "computations", computations(asked.result()[1]), "", target=ONCE)


def tell_info(
    bench: SideBySide, when: str, milliseconds: list[float],
    median: Target | None = None, worst: Target | None = None,
) -> None:  # fmt: skip
    """The two rows of ``GET /info/``."""
    note = f"{len(milliseconds)} polls"
    bench.figure("GET /info/", f"{when}, median", milliseconds, "ms", target=median, note=note)
    percentile = float(np.percentile(milliseconds, 99))
    bench.figure("GET /info/", f"{when}, 99th percentile", percentile, "ms", target=worst)


def computations(answers: Sequence[dict[str, Any]]) -> int:
    """How often it was computed: no two computations take the same time to the last digit."""
    return len({json.dumps(each["seconds"]) for each in answers if not each["kept"]})


def clients_wait(seconds: float, clients: ThreadPoolExecutor) -> Future[None]:
    """Something to poll beside, when nothing happens."""
    return clients.submit(time.sleep, seconds)


class Server:
    """What is asked of the server.

    Args:
        process: the server.
        model: which network of which task.
        clients: threads to ask from.
    """

    def __init__(self, process: ServerProcess, model: str, clients: ThreadPoolExecutor) -> None:
        self.clients = clients
        self._process = process
        self._model = model
        self._opened = time.perf_counter()

    def seconds_to_warm(self, patience_seconds: float = 90) -> float:
        """Waits until the network is loaded ahead; gives the seconds since the server answered at all."""
        while f"loaded {self._model}" not in self._process.log:
            if time.perf_counter() - self._opened > patience_seconds:
                raise TimeoutError(f"{self._model} is not loaded ahead:\n{self._process.log[-2000:]}")
            time.sleep(0.2)
        return time.perf_counter() - self._opened

    def poll_info(self, until: Future[Any]) -> list[float]:
        """What ``GET /info/`` takes, in ms, again and again until that is done."""
        milliseconds = []
        with requests.Session() as http:
            while not until.done():
                began = time.perf_counter()
                http.get(f"{self._process.url}/info/", timeout=60).raise_for_status()
                milliseconds.append(1000 * (time.perf_counter() - began))
                time.sleep(_POLL_SECONDS)
        return milliseconds

    def answer(self, study: str) -> dict[str, Any]:
        """The answer about a study."""
        url = f"{self._process.url}/infer/{self._model}"
        answer = requests.post(url, params={"image": study}, timeout=600)
        answer.raise_for_status()
        return dict(answer.json()["vptct"])

    def seconds_of(self, study: str) -> float:
        """How long a client waits for it."""
        began = time.perf_counter()
        self.answer(study)
        return time.perf_counter() - began

    def ask_at_once(self, study: str, clients: int) -> tuple[float, list[dict[str, Any]]]:
        """Seconds until so many clients have their answer about one study, and the answers."""
        began = time.perf_counter()
        answers = list(self.clients.map(self.answer, [study] * clients))
        return time.perf_counter() - began, answers

    def batch(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """The lines of a batch over all studies, each with the seconds after which it came."""
        began = time.perf_counter()
        url = f"{self._process.url}/batch/infer/{self._model}"
        with requests.post(url, stream=True, timeout=600) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                yield time.perf_counter() - began, json.loads(line)


def make_studies(folder: Path, slices: int, number: int) -> list[str]:
    """So many studies; their ids. The files of all are the same, and the server cannot know that."""
    names = [f"study{index}" for index in range(number)]
    write_dicom(noise(slices), folder / names[0])
    for name in names[1:]:
        (folder / name).mkdir()
        for file in (folder / names[0]).iterdir():
            os.link(file, folder / name / file.name)
    return names


def publish(folder: Path, network: str) -> None:
    """Random weights, served."""
    findings = get_task(TASK).findings
    spec = get_model(network)
    card = ModelCard(
        task=TASK, model=network, findings=findings, pretraining="none", clip_slices=spec.clip_slices
    )
    folder.mkdir()
    ModelStore(folder).publish(new_classifier(spec, findings), card)


if __name__ == "__main__":
    raise SystemExit(main())

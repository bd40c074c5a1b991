"""Is an acknowledged label ever lost? The server is killed in the middle of its work, again and again.

In every round four readers save labels, half of them upon the version that they have seen last, while others
list the studies, ask which one is next and what the server can do, and a program copies more studies into the
folder. At a random moment the server gets SIGKILL. It is started again over the same folders, and every label
that it had acknowledged must be there: byte for byte by the checksum of the acknowledgement, and in the
history of its study; or set aside, where it was refused for a newer version. Then the readers finish their
work, and all is looked at once more.

    .venv/bin/python benchmarks/kill_labels.py [--rounds 20] [--writes 300]

SIGKILL ends the process and not the computer: what a power cut leaves is not tested by this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from killed_clients import STUDIES, Client, Load, Sent, check

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_nifti

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "apps"))
from server_process import ServerProcess

RESULTS = Path(__file__).parent / "results"
READERS = 4
COPY_FOR_EVER = """
import shutil, sys, time
from pathlib import Path
studies, number = Path(sys.argv[1]), 0
while True:
    number += 1
    shutil.copy(studies / "s00.nii", studies / f"copied-{sys.argv[2]}-{number:05d}.nii")
    time.sleep(0.05)
"""


@dataclass(frozen=True)
class Row:
    """What one round gave.

    Attributes:
        number: of the round, from 1.
        acknowledged: labels that the server had answered for when it was killed.
        refused: how many of them it had set aside.
        found: how many of the acknowledged ones are there after the restart.
        unanswered: labels that were on their way when it was killed.
        unanswered_there: how many of them are there all the same.
        finished: labels of this round that are acknowledged and there at its end.
        lost: acknowledged labels, of this round and of all before, that were missed after the restart or at
            the end of the round.
        answers: that the others got meanwhile.
        copied: studies that came meanwhile.
        restart_seconds: from the start of the process until it answers.
    """

    number: int
    acknowledged: int
    refused: int
    found: int
    unanswered: int
    unanswered_there: int
    finished: int
    lost: int
    answers: int
    copied: int
    restart_seconds: float


class Trial:
    """One server and those who save labels on it.

    Args:
        server: it runs.
        studies: the folder that it serves.
        writes: labels per round.
        rng: decides what is saved, and when the server is killed.
    """

    def __init__(self, server: ServerProcess, studies: Path, writes: int, rng: random.Random) -> None:
        self._server = server
        self._studies = studies
        self._writes = writes
        self._rng = rng
        self._before: list[Sent] = []
        self._answers = 0

    def round(self, number: int) -> Row:
        """Save, kill in between, start again, look, finish, look again."""
        self._answers = 0
        share = self._writes // READERS
        clients = [Client(f"reader {n}", share, number, self._rng.random()) for n in range(READERS)]
        with _copying(self._studies, number):
            self._save_until_killed(clients)
            sent = [each for client in clients for each in client.sent]
            acknowledged = [each for each in sent if each.answer is not None]
            unanswered = [each for each in sent if each.answer is None]
            seconds = self._server.start_again()
            there = check(self._server.url, acknowledged)
            unanswered_there = check(self._server.url, unanswered)
            with self._others(), _at_work(clients, self._server.url):
                pass
            copied = len(list(self._studies.glob("copied-*.nii")))
        finished = [each for client in clients for each in client.sent if each.answer is not None]
        there_at_the_end = check(self._server.url, finished)
        lost = (set(acknowledged) - there) | (set(finished) - there_at_the_end)
        lost |= {each for each in self._before if not _is_on_the_disk(self._studies, each)}
        self._before += finished
        return Row(
            number=number,
            acknowledged=len(acknowledged),
            refused=sum(each.is_refused for each in acknowledged),
            found=len(there),
            unanswered=len(unanswered),
            unanswered_there=len(unanswered_there),
            finished=len(there_at_the_end),
            lost=len(lost),
            answers=self._answers,
            copied=copied,
            restart_seconds=seconds,
        )

    def _save_until_killed(self, clients: list[Client]) -> None:
        kill_at = self._rng.randint(self._writes // 20, self._writes * 9 // 10)
        with self._others(), _at_work(clients, self._server.url) as works:
            while sum(each.answered for each in clients) < kill_at and not all(w.done() for w in works):
                time.sleep(0.0005)
            time.sleep(self._rng.uniform(0, 0.02))
            self._server.kill()

    @contextmanager
    def _others(self) -> Iterator[None]:
        """Two who ask and ask."""
        stop = threading.Event()
        loads = [Load(self._server.url, stop) for _ in range(2)]
        for load in loads:
            load.start()
        try:
            yield
        finally:
            stop.set()
            for load in loads:
                load.join()
                self._answers += load.answers


@contextmanager
def _at_work(clients: list[Client], url: str) -> Iterator[list[Future[None]]]:
    """Left when all of them have ended; a client that saw what must not happen raises it here."""
    with ThreadPoolExecutor(len(clients)) as threads:
        works = [threads.submit(client.work, url) for client in clients]
        yield works
    for work in works:
        work.result()


@contextmanager
def _copying(studies: Path, number: int) -> Iterator[None]:
    """A program of its own copies studies into the folder, twenty a second; they go when it ends."""
    with subprocess.Popen([sys.executable, "-c", COPY_FOR_EVER, str(studies), str(number)]) as copying:
        try:
            yield
        finally:
            copying.kill()
            for path in studies.glob("copied-*.nii"):
                path.unlink()


def _studies(folder: Path) -> Path:
    """Small studies; nobody reads their voxels here."""
    folder.mkdir()
    hu = np.full((24, 16, 16), -800, dtype=np.int16)
    volume = Volume(hu, (2.5, 3.0, 3.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), study="small")
    write_nifti(volume, folder / STUDIES[0])
    for name in STUDIES[1:]:
        shutil.copy(folder / STUDIES[0], folder / name)
    return folder


def _is_on_the_disk(studies: Path, sent: Sent) -> bool:
    """Whether the file of a label that was saved has the acknowledged checksum still."""
    if sent.answer is None or sent.is_refused:
        return any(
            json.loads(path.read_bytes())["label"] == sent.label
            for path in (studies / "labels" / "conflicts" / sent.study).glob("*.json")
        )
    file = studies / "labels" / "final" / sent.study / f"nodule.{sent.answer['version']:04d}.json"
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sent.answer["sha256"]


_COLUMNS = {
    "round": "number",
    "acknowledged": "acknowledged",
    "(set aside)": "refused",
    "found": "found",
    "unanswered": "unanswered",
    "(there)": "unanswered_there",
    "finished": "finished",
    "lost": "lost",
    "answers": "answers",
    "copied": "copied",
    "restart, s": "restart_seconds",
}
_HEAD = "  ".join(_COLUMNS) + "\n" + "  ".join("-" * len(name) for name in _COLUMNS)


def _line(row: Row) -> str:
    cells = ((len(name), getattr(row, field)) for name, field in _COLUMNS.items())
    return "  ".join(f"{cell:>{width}{'.1f' if isinstance(cell, float) else ''}}" for width, cell in cells)


def main() -> int:
    """Run the rounds and print the table; 1 when a label was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--writes", type=int, default=300, help="labels per round, of all readers together")
    parser.add_argument("--seed", type=int, help="of the random choices; another one each time")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"{asked.rounds} rounds of {asked.writes} labels by {READERS} readers; seed {seed}\n{_HEAD}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="vptct-kill-") as folder, ExitStack() as stack:
        studies = _studies(Path(folder) / "studies")
        models = Path(folder) / "models"
        models.mkdir()
        conf = {"tasks": "nodule", "models": "tiny", "device": "cpu", "models_dir": str(models)}
        server = stack.enter_context(ServerProcess(studies, conf=conf))
        trial = Trial(server, studies, asked.writes, random.Random(seed))  # noqa: S311  no secret
        for number in range(1, asked.rounds + 1):
            rows.append(trial.round(number))
            print(_line(rows[-1]), flush=True)
    acknowledged, found, finished, lost = (
        sum(getattr(row, each) for row in rows) for each in ("acknowledged", "found", "finished", "lost")
    )
    print(
        f"{len(rows)} times killed; {acknowledged} labels acknowledged before, {found} of them found after "
        f"the restart; {finished} acknowledged and there at the end of their round; {lost} lost."
    )
    RESULTS.mkdir(exist_ok=True)
    content = {"seed": seed, "lost": lost, "rounds": [asdict(row) for row in rows]}
    (RESULTS / "kill_labels.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""From nothing to answers: phantom studies, a training, the real server, and its answers beside the truth.

::

    python apps/demo.py                                3 to 8 minutes on 2 cores, without a GPU
    python apps/demo.py --studies 40 --steps 100       quicker, and not good enough

Where the environment variable VPT_TEST_DATA names a folder with lidc-idri-0001/, the server is sent that
patient, too. The exit code is 1 when the AUROC on held-out phantoms is below 0.90.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

# Before torch is loaded: its threads otherwise spin while they wait, which beside another busy program makes
# a small network a hundred times slower.
os.environ["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")

import requests
from demo_report import Answer, Outcome, Proposed, draw_picture, print_proposed, print_report, write_report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from server_process import ServerError, ServerProcess

from vpt_plugin.ct.archive import unpack
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.statistics import study_facts
from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.data.phantom import write_phantom_set
from vpt_plugin.errors import VptError
from vpt_plugin.models.catalog import get_model
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.baseline import best_single_statistic
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.metrics import bootstrap_auroc
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress as TrainingProgress
from vpt_plugin.training.sources import ManifestSource

TASK = TASKS["nodule"]
FINDING = TASK.findings[0]
MODEL = "tiny"
REAL_STUDY = "LIDC-IDRI-0001"
LEAST_STUDIES = 20
STEPS_PER_EPOCH = 75
SCORED_STUDIES, SCORING_SECONDS = 24, 12.0
# The error of a strategy that needs scores that are not there yet; 409 is that of other refusals, too.
NOT_SCORED = "NotScoredError"

Advance = Callable[..., None]


class Demo:
    """The parts of the demo, to be run one after the other.

    Args:
        folder: everything that is made goes into it.
        console: where progress is shown.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.seconds: dict[str, float] = {}

    def make_phantoms(self, studies: int, seed: int) -> Manifest:
        """Phantoms to train on, to validate on and to test on: 65, 15 and 20 of a hundred."""
        validation, test = round(studies * 0.15), round(studies * 0.2)
        with self._part("phantoms") as advance:
            manifest = write_phantom_set(
                self.folder / "phantoms",
                count=studies,
                seed=seed,
                task=TASK.name,
                formats=("nifti", "dicom", "nrrd"),
                splits=(studies - validation - test, validation, test),
                progress=advance,
            )
        return Manifest.read(manifest)

    def train(self, manifest: Manifest, steps: int, seed: int) -> None:
        """Train the tiny network and publish it where the server will look."""
        epochs = max(1, steps // STEPS_PER_EPOCH)
        config = FinetuneConfig(
            pretraining="none", epochs=epochs, steps_per_epoch=max(1, steps // epochs), seed=seed
        )
        with self._part("training") as advance:

            def show(now: TrainingProgress) -> None:
                auroc = "" if now.best_auroc is None else f", validation AUROC {now.best_auroc:.3f}"
                advance(now.step, now.steps, f"training: {now.state}{auroc}")

            finetune(
                ManifestSource(manifest),
                TASK,
                get_model(MODEL),
                config,
                store=ModelStore(self.folder / "models"),
                cache=self.folder / "prepared",
                progress=show,
            )

    def ask_the_server(self, held_out: Sequence[ManifestStudy]) -> tuple[list[Answer], list[Proposed]]:
        """Start the real server, send it the held-out studies and the patient, ask which to label next."""
        studies = self.folder / "phantoms" / "studies"
        unpack_real_study(studies / REAL_STUDY)
        conf = {"tasks": TASK.name, "models": MODEL, "models_dir": str(self.folder / "models")}
        # All of them would take longer than the rest of the demo.
        conf["scoring_studies"] = str(SCORED_STUDIES)
        with ExitStack() as stack:
            with self._part("server start") as advance:
                server = stack.enter_context(ServerProcess(studies, conf=conf))
                advance(1, 1)
            with self._part("answers") as advance:
                answers = []
                for study, upload in with_uploads(held_out, self.folder / "uploads"):
                    answers.append(ask_about(server, study, upload))
                    advance(len(answers), len(held_out))
                answers += ask_about_the_patient(server)
            with self._part("next study") as advance:
                return answers, ask_which_next(server, advance)

    def judge(self, answers: Sequence[Answer], held_out: Sequence[ManifestStudy]) -> Outcome:
        """The AUROC over the phantoms, beside what the best single number of their volumes can do."""
        phantoms = [answer for answer in answers if answer.truth]
        truth = [answer.truth == "present" for answer in phantoms]
        with self._part("baseline") as advance:
            facts = []
            for study in held_out:
                facts.append(study_facts(read_study(study.path)).as_dict())
                advance(len(facts), len(held_out))
        return Outcome(
            auroc=bootstrap_auroc(truth, [answer.finding["probability"] for answer in phantoms]),
            baseline=best_single_statistic(facts, truth),
            seconds=self.seconds,
        )

    @contextmanager
    def _part(self, name: str) -> Iterator[Advance]:
        """Shows a bar for one part and notes how long it took; yields what moves the bar."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        began = time.monotonic()
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(name, total=None)

            def advance(done: int, total: int, words: str = name) -> None:
                # 0 of 0 is a step that counts nothing, at the end of a training: the bar stays where it was.
                progress.update(
                    bar, completed=done if total else None, total=total or None, description=words
                )

            yield advance
        self.seconds[name] = time.monotonic() - began


def with_uploads(
    held_out: Sequence[ManifestStudy], folder: Path
) -> Iterator[tuple[ManifestStudy, Path | None]]:
    """Every study, with a file to upload for the first DICOM and the first NIfTI; the rest go by their id."""
    dicom = next((study for study in held_out if study.path.is_dir()), None)
    nifti = next((study for study in held_out if study.path.name.endswith(".nii.gz")), None)
    for study in held_out:
        if study is dicom:
            yield study, Path(shutil.make_archive(str(folder / study.study), "zip", study.path))
        else:
            yield study, study.path if study is nifti else None


def ask_about(server: ServerProcess, study: ManifestStudy, upload: Path | None) -> Answer:
    """What the server says about one phantom, with the truth beside it."""
    label = study.labels[TASK.name].findings[FINDING]
    began = time.monotonic()
    result = infer(server, study.path.name, upload)
    sent = upload.name.partition(".")[2] if upload else "id"
    return Answer(study.study, sent, label.state, label.slices_mm or (), time.monotonic() - began, result)


def ask_about_the_patient(server: ServerProcess) -> list[Answer]:
    """What the server says about the real CT, if there is one."""
    listing = server.http.get(f"{server.url}/datastore/", params={"output": "all"}, timeout=60)
    studies = listing.json()["objects"]
    answers = []
    for study in studies:
        if study.startswith(REAL_STUDY):
            began = time.monotonic()
            result = infer(server, study, None)
            answers.append(Answer(REAL_STUDY, "id", "", (), time.monotonic() - began, result))
    return answers


def infer(server: ServerProcess, study: str, upload: Path | None) -> dict[str, object]:
    """The JSON of ``POST /infer/nodule_tiny``."""
    address = f"{server.url}/infer/{TASK.name}_{MODEL}"
    if upload is None:
        response = server.http.post(address, params={"image": study}, timeout=600)
    else:
        with upload.open("rb") as file:
            response = server.http.post(address, files={"file": (upload.name, file)}, timeout=600)
    if not response.ok:
        raise ServerError(f"the server refuses {study}: {response.status_code} {response.text}")
    return dict(response.json())


def ask_which_next(server: ServerProcess, advance: Advance) -> list[Proposed]:
    """What the server proposes to label next, once it has scored some studies, or after a while."""
    deadline = time.monotonic() + SCORING_SECONDS
    while time.monotonic() < deadline:
        state = server.http.get(f"{server.url}/activelearning/", timeout=60)
        if not state.ok:
            raise ServerError(f"the server tells no worklist: {state.status_code} {state.text}")
        (task,) = state.json()["tasks"]
        advance(task["scoring"]["scored"], SCORED_STUDIES)
        if task["scoring"]["complete"]:
            break
        time.sleep(0.2)
    proposed, leases = [], []
    for strategy in ("auto", "uncertain"):
        answer = server.http.post(f"{server.url}/activelearning/{strategy}", json={}, timeout=60)
        # Without scores one that needs them is refused; the others go on.
        if not answer.ok and answer.json().get("error") == NOT_SCORED:
            continue
        if not answer.ok:
            raise ServerError(f"the server proposes no study: {answer.status_code} {answer.text}")
        studies = answer.json()["vptct"]["studies"]
        proposed += [Proposed(each["study"], each["strategy"], each["why"]) for each in studies]
        leases += [each["lease"] for each in studies]
    for lease in leases:
        give_back(server, lease)
    return proposed


def give_back(server: ServerProcess, lease: Mapping[str, str]) -> None:
    """The demo labels nothing: whoever serves what it kept finds every study free."""
    address = f"{server.url}/activelearning/leases/{lease['study']}"
    answer = server.http.delete(address, params={"holder": lease["holder"]}, timeout=60)
    if not answer.ok:
        raise ServerError(f"the server takes no study back: {answer.status_code} {answer.text}")


def unpack_real_study(folder: Path) -> None:
    """Put the patient of VPT_TEST_DATA among the studies, if that is set."""
    data = Path(os.environ.get("VPT_TEST_DATA", "not-set")) / "lidc-idri-0001"
    for archive in sorted(data.glob("*.zip"))[:1]:
        folder.mkdir()
        unpack(archive, folder)


def picture_worthy(answers: Sequence[Answer]) -> Answer:
    """The phantom with a nodule that was pointed at most surely."""
    positive = [answer for answer in answers if answer.truth == "present"]
    return max(positive, key=lambda each: (each.points_at_the_truth, each.finding["probability"]))


def run(options: argparse.Namespace, folder: Path, console: Console) -> bool:
    """The whole demo; whether it was good enough."""
    demo = Demo(folder, console)
    manifest = demo.make_phantoms(options.studies, options.seed)
    demo.train(manifest, options.steps, options.seed)
    held_out = [study for study in manifest.studies if study.split == "test"]
    answers, proposed = demo.ask_the_server(held_out)
    outcome = demo.judge(answers, held_out)
    print_report(console, answers, outcome)
    print_proposed(console, proposed)
    write_report(options.folder / "result.json", answers, outcome)
    written = ["result.json"]
    shown = picture_worthy(answers)
    path = next(study.path for study in held_out if study.study == shown.study)
    if draw_picture(options.folder / "picture.png", read_study(path), shown, TASK):
        written.append("picture.png")
    console.print(f"Written to {options.folder}: {', '.join(written)}")
    return outcome.good_enough


def print_how_to_serve(console: Console, folder: Path) -> None:
    """The command that serves what was kept, for the Slicer module."""
    console.print(f"Phantoms and model are kept in {folder}. For 3D Slicer (docs/slicer.md) serve them:")
    studies, models = folder / "phantoms" / "studies", folder / "models"
    command = f'make serve STUDIES="{studies}" CONF="--conf tasks {TASK.name} --conf models_dir \'{models}\'"'
    console.print(command, soft_wrap=True, markup=False, highlight=False)


def print_how_to_keep(console: Console) -> None:
    """The command that makes the same once more, for the Slicer module, as it is typed in this folder."""
    here, typed = Path.cwd(), [Path(sys.executable), Path(__file__).resolve()]
    words = [str(each.relative_to(here)) if each.is_relative_to(here) else str(each) for each in typed]
    console.print(
        "Phantoms and model are gone. For 3D Slicer (docs/slicer.md) this makes and keeps the same:"
    )
    console.print(" ".join([*words, *sys.argv[1:], "--keep"]), soft_wrap=True, markup=False, highlight=False)


def main() -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("::")[0])
    parser.add_argument("--studies", type=int, default=240, help="how many phantoms (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=800, help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same demo")
    parser.add_argument("--keep", action="store_true", help="keep phantoms, model and prepared studies")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(__file__).resolve().parents[1] / "demo",
        help="where the result goes (default: %(default)s)",
    )
    options = parser.parse_args()
    if options.studies < LEAST_STUDIES:
        parser.error(f"--studies must be at least {LEAST_STUDIES}: every side of the split needs some")
    options.folder.mkdir(parents=True, exist_ok=True)
    # A pipe has no width; the table needs some.
    console = Console(width=None if sys.stdout.isatty() else 110)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=options.folder))
    try:
        return 0 if run(options, work, console) else 1
    except (VptError, ServerError, requests.RequestException) as error:
        console.print(f"The demo failed: {error}", style="bold red", markup=False)
        return 1
    finally:
        if options.keep:
            print_how_to_serve(console, work)
        else:
            shutil.rmtree(work, ignore_errors=True)
            print_how_to_keep(console)


if __name__ == "__main__":
    sys.exit(main())

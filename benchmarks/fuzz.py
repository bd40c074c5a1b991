"""Schemathesis against the real server: ``benchmarks/fuzz.py [--minutes 5]``; no test, and no part of them.

Random and broken requests to every operation of /openapi.json, many of them with ids that exist, so that what
lies behind the look-up is reached. Schemathesis goes into an environment of its own outside the repository.
What it finds becomes a test in ``tests/app/attack/test_attack_found_by_fuzzing.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "apps"))

from server_process import ServerProcess  # noqa: E402  only now on the path

from vpt_plugin.ct.volume import Volume  # noqa: E402
from vpt_plugin.data.phantom import write_dicom, write_nifti  # noqa: E402
from vpt_plugin.labels import FindingLabel, StudyLabel  # noqa: E402
from vpt_plugin.models.card import ModelCard  # noqa: E402
from vpt_plugin.models.catalog import get_model  # noqa: E402
from vpt_plugin.models.classifier import new_classifier  # noqa: E402
from vpt_plugin.store.labels import LabelFolder  # noqa: E402
from vpt_plugin.store.tokens import TokenFile  # noqa: E402
from vpt_plugin.tasks import TASKS  # noqa: E402
from vpt_plugin.training.model_store import ModelStore  # noqa: E402

SCHEMATHESIS = "schemathesis==4.32.5"
# Not among them: positive_data_acceptance and negative_data_rejection, since what an id, a tag or a file must
# be is more than a schema can say, and what is sent beside what a route wants is passed over;
# allow_header_conformance, since Starlette names in a 405 the methods of one route, and each of ours has one.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "unsupported_method",
    "missing_required_header", "ignored_auth", "use_after_free", "ensure_resource_availability",
)  # fmt: skip


def main() -> int:
    """Fuzz, and say what came of it; 1 where the server failed, left something or told of an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long; 5 by default")
    parser.add_argument("--seed", type=int, default=None, help="for the same requests again")
    parser.add_argument("--venv", type=Path, default=Path(tempfile.gettempdir()) / "vptct-fuzz-venv")
    given = parser.parse_args()
    schemathesis = install(given.venv)
    with tempfile.TemporaryDirectory(prefix="vptct-fuzz-") as folder:
        site = Path(folder)
        studies, models = make_site(site)
        token = TokenFile(site / "tokens.txt").add("fuzz", "admin")
        conf = {"tasks": "nodule,pe", "models": "tiny", "device": "cpu", "models_dir": str(models)}
        conf |= {"token_file": str(site / "tokens.txt"), "logs": "on", "reload": "on"}
        with ServerProcess(studies, conf=conf) as server:
            server.http.headers["Authorization"] = f"Bearer {token}"
            # The first inference makes torch's caches, which stay.
            server.http.post(
                f"{server.url}/infer/nodule_tiny?image=ct.nii.gz", timeout=120
            ).raise_for_status()
            kept = set(server.temporary.rglob("*"))
            code = fuzz(schemathesis, server, site, token, minutes=given.minutes, seed=given.seed)
            left = sorted(set(server.temporary.rglob("*")) - kept)
            alive = server.http.get(f"{server.url}/info/", timeout=60).ok
            wrong = tell(site / "report.json", server.log, left, alive=alive)
    return 1 if wrong or code else 0


def install(folder: Path) -> Path:
    """Schemathesis in a virtual environment of its own, made at the first run."""
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    program = scripts / ("schemathesis.exe" if os.name == "nt" else "schemathesis")
    if not program.exists():
        venv.create(folder, with_pip=True)
        python = scripts / ("python.exe" if os.name == "nt" else "python")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", SCHEMATHESIS], check=True)
    return program


def make_site(folder: Path) -> tuple[Path, Path]:
    """Two small studies, one of them labelled twice, and a network with random weights."""
    studies, models = folder / "studies", folder / "models"
    hu = np.random.default_rng(3).integers(-900, -300, (16, 64, 64)).astype(np.int16)
    hu[4:12, 20:44, 20:44] += 600
    volume = Volume(hu, (2.5, 3.0, 3.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "small")
    studies.mkdir()
    write_nifti(volume, studies / "ct.nii.gz")
    write_dicom(volume, studies / "p01" / "ct")
    for state in ("absent", "present"):
        label = StudyLabel("nodule", {"lung_nodule": FindingLabel(state)}, annotator="anna")
        LabelFolder(studies / "labels").save("ct.nii.gz", label)
    findings, spec = TASKS["nodule"].findings, get_model("tiny")
    card = ModelCard("nodule", "tiny", findings, "none", spec.clip_slices, trained_on=1, synthetic=True)
    ModelStore(models).publish(new_classifier(spec, findings, seed=0), card)
    return studies, models


def fuzz(
    program: Path, server: ServerProcess, folder: Path, token: str, *, minutes: float, seed: int | None
) -> int:
    """Run schemathesis; what it has to say goes to stdout, and its figures to ``report.json``."""
    command = [str(program), "run", f"{server.url}/openapi.json", "--checks", ",".join(CHECKS)]
    command += ["--header", f"Authorization:Bearer {token}", "--request-timeout", "60", "--no-color"]
    command += ["--max-time", str(int(minutes * 60)), "--continue-on-failure", "--warnings", "off"]
    command += ["--phases", "examples,coverage,fuzzing,stateful", "--generation-allow-x00", "true"]
    command += ["--generation-database", "none", "--report-json-path", str(folder / "report.json")]
    command += [] if seed is None else ["--seed", str(seed)]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("fuzz_hooks.py"))}
    return subprocess.run(command, check=False, cwd=folder, env=environment).returncode


def tell(figures: Path, log: str, left: list[Path], *, alive: bool) -> bool:
    """The figures, and what the server's own side says; True where that is not well."""
    run = json.loads(figures.read_text(encoding="utf-8"))
    told = {
        "minutes": round(run["running_time"] / 60, 1),
        "requests": run["test_cases"]["generated"],
        "findings": run["test_cases"]["unique_failures"],
        "seed": run["seed"],
        "tracebacks_in_the_log": log.count("Traceback (most recent call last)"),
        "unexpected_errors_in_the_log": log.count("unexpected error"),
        "left_in_the_temporary_folder": [path.name for path in left if "torchinductor" not in str(path)],
        "server_answers_afterwards": alive,
    }
    print(json.dumps(told, indent=1))
    return bool(
        told["tracebacks_in_the_log"]
        or told["unexpected_errors_in_the_log"]
        or told["left_in_the_temporary_folder"]
        or not alive
    )


if __name__ == "__main__":
    raise SystemExit(main())

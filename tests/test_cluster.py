"""Ray on this computer alone, and a cluster that is joined: what listens, what ends, what is told."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from vpt_plugin.cluster import RayPlace, ray_cluster
from vpt_plugin.cluster.told import told_in_our_words
from vpt_plugin.errors import ConfigurationError


def test_tasks_run_in_other_processes_with_as_many_threads_as_cores_were_asked_for(
    ray_here: RayPlace,
) -> None:
    def where() -> tuple[int, str]:
        return os.getpid(), os.environ["OMP_NUM_THREADS"]

    import ray

    process, threads = ray.get(ray.remote(num_cpus=2)(where).remote())
    assert process != os.getpid()
    assert threads == "2"
    assert ray_here.in_words() == "this computer, 2 cores, no GPU"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it without being root")
def test_nothing_of_it_listens_to_the_network(ray_here: RayPlace) -> None:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    heard = {
        each.laddr.ip.removeprefix("::ffff:")
        for process in family
        if "ray" in " ".join(process.cmdline()) or process.pid == os.getpid()
        for each in process.net_connections(kind="tcp")
        if each.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission bits")
def test_the_folder_of_ray_is_closed_to_other_users_though_ray_opens_it(ray_here: RayPlace) -> None:
    from ray._private import worker

    of_ray = Path(worker.global_worker.node.get_session_dir_path()).parent
    assert stat.S_IMODE(of_ray.parent.stat().st_mode) == 0o700
    assert of_ray.parent.name.startswith("vptct-ray-")


def test_a_cluster_that_is_open_already_is_used_and_stays_open(ray_here: RayPlace) -> None:
    import ray

    with ray_cluster() as place:
        assert place.cpus == ray_here.cpus
    assert ray.is_initialized()


def test_a_worker_that_is_killed_is_replaced_and_its_task_done_again(
    ray_here: RayPlace, tmp_path: Path
) -> None:
    def die_once() -> str:
        first = tmp_path / "first"
        if not first.exists():
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    import ray

    assert ray.get(ray.remote(max_retries=1)(die_once).remote()) == "done"


def test_of_what_ray_says_about_memory_one_sentence_of_ours_is_told(
    ray_here: RayPlace, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from ray._private import utils, worker

    caplog.set_level(logging.INFO, logger="vpt_plugin.cluster.told")
    said = [
        "1 Workers (tasks / actors) killed due to memory pressure (OOM)",
        "Task a failed due to oom.",
        "b",
    ]
    # Anew: a computer whose memory really runs short may have been warned of before.
    with told_in_our_words(retries=7):
        for each in said:
            utils.publish_error_to_driver("test", each, gcs_client=worker.global_worker.gcs_client)
        began = time.monotonic()
        while "Ray: b" not in caplog.messages and time.monotonic() - began < 10:
            time.sleep(0.05)
    assert {f"Ray: {each}" for each in said} <= set(caplog.messages)
    (warned,) = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert "begins again, up to 7 times" in warned
    assert "Task a" not in capfd.readouterr().out


@pytest.mark.parametrize("address", ["", "http://x/y", "host:", ":6379", "host:port", "ray://"])
def test_what_is_no_address_is_told_before_ray_is_asked(address: str) -> None:
    with pytest.raises(ConfigurationError, match="no address of a Ray cluster"):
        with_other_process_free(address)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_told_within_seconds(scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match=rf"nothing answers at 127\.0\.0\.1, port {port}.*ray start"):
        with_other_process_free(f"{scheme}127.0.0.1:{port}")
    assert time.monotonic() - began < 10


def with_other_process_free(address: str) -> None:
    """The check of an address alone: this process has its own Ray, which would be used instead."""
    from vpt_plugin.cluster.joined import require_answer

    require_answer(address)


JOINS = """
import sys
from pathlib import Path
from vpt_plugin import cluster
from vpt_plugin.cluster import joined
from vpt_plugin.errors import ConfigurationError
# A file: Ray prints on this process's stdout what it thinks the user should know.
answers = open(sys.argv[2], "w", encoding="utf-8", buffering=1)
with cluster.ray_cluster(sys.argv[1]) as place:
    print(place.in_words(), file=answers)
    place.require_shared([Path.cwd()], [Path(sys.executable)])
    try:
        # The first is another folder for a worker.
        place.require_shared([Path(), Path.cwd()], [Path(sys.executable), Path("away")])
    except ConfigurationError as error:
        print(error, file=answers)
joined.__version__ = "0.0.1"
try:
    with cluster.ray_cluster(sys.argv[1]):
        raise AssertionError("joined")
except ConfigurationError as error:
    print(error, file=answers)
"""


def test_a_cluster_is_joined_by_its_address_and_refused_where_it_has_another_version(
    ray_here: RayPlace, tmp_path: Path
) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    answers = tmp_path / "answers.txt"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", JOINS, address, answers],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, blind, second = answers.read_text(encoding="utf-8").splitlines()
    assert first == f"the cluster at {address}: 1 computer, 2 cores, no GPU"
    node = f"{socket.gethostname()} (127.0.0.1)"
    assert blind.startswith(f". is not seen by {node}; away is not seen by {node}. Every computer")
    assert f"has another VPTCT than this computer (0.0.1): {socket.gethostname()}" in second


def test_cores_of_a_cluster_are_not_ours_to_set() -> None:
    with pytest.raises(ConfigurationError, match="set where it is started"), ray_cluster("auto", cpus=2):
        raise AssertionError("joined")


def test_without_the_extra_the_command_that_installs_it_is_told(tmp_path: Path) -> None:
    said = in_new_process(
        tmp_path,
        "import sys; sys.modules['ray'] = None",
        "from vpt_plugin.cluster import ray_cluster",
        "with ray_cluster(): pass",
        fails=True,
    )
    assert 'pip install "vptct[study]"' in said


WAITS = """
import sys, time
held = open(sys.argv[1], sys.argv[2])
print("there", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how a file was opened")
def test_what_only_looks_at_the_logs_of_a_ray_that_is_gone_is_left_alone(tmp_path: Path) -> None:
    from vpt_plugin.cluster.local import _end_orphans

    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    log = real / "raylet.out"
    log.touch()
    begun = [
        subprocess.Popen([sys.executable, "-c", WAITS, log, *more], stdout=subprocess.PIPE)
        for more in (("r", "ray::reader"), ("a", "editor"), ("a", "ray::DashboardAgent"))
    ]
    try:
        for each in begun:
            assert each.stdout is not None
            each.stdout.readline()
        _end_orphans(link)
        assert begun[2].wait(timeout=10) == -signal.SIGKILL
        assert [each.poll() for each in begun[:2]] == [None, None]
    finally:
        for each in begun:
            with each:
                each.kill()


KILLED_OWNER = """
import os, sys
from vpt_plugin.cluster import ray_cluster
with ray_cluster(cpus=2, gpus=0) as place:
    import ray
    @ray.remote
    def busy(said):
        print(os.getpid(), file=open(said, "w"), flush=True)
        while True:
            sum(range(100_000))
    ray.get(busy.remote(sys.argv[1]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such signals")
def test_workers_and_folders_go_with_the_process_that_started_ray(tmp_path: Path) -> None:
    worker_said = tmp_path / "worker"
    owner = subprocess.Popen(
        [sys.executable, "-c", KILLED_OWNER, str(worker_said)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for_words(worker_said)
        family = psutil.Process(owner.pid).children(recursive=True)
        assert int(worker_said.read_text()) in {each.pid for each in family}
        owner.kill()
        owner.wait(timeout=20)
    finally:
        owner.kill()
        owner.wait()
    in_new_process(
        tmp_path,
        # What is still there after a moment goes when the next one starts.
        "import time; time.sleep(3)",
        "from vpt_plugin.cluster.local import temporary_folder",
        "with temporary_folder(): pass",
    )
    _, left = psutil.wait_procs(family, timeout=5)
    assert [each.cmdline() for each in left if each.status() != psutil.STATUS_ZOMBIE] == []


def wait_for_words(file: Path) -> None:
    began = time.monotonic()
    while not file.exists() or not file.read_text().endswith("\n"):
        assert time.monotonic() - began < 60
        time.sleep(0.05)


def in_new_process(folder: Path, *lines: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == fails, done.stderr
    return re.sub(r"\s+", " ", done.stdout + done.stderr)

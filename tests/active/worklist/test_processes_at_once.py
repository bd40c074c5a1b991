"""A server and ``vpt next`` may give out studies of one folder at once: two worklists, two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from made_up_site import MadeUpSite

_ASK = """
import sys
from pathlib import Path
from made_up_site import MadeUpSite
site = MadeUpSite(Path(sys.argv[1]), [f"p{number:02d}" for number in range(40)])
worklist = site.worklist()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(12):
    print(worklist.next(site.wish(strategy="random", reader=sys.argv[2])).proposals[0].study, flush=True)
"""


def asking(site: MadeUpSite, reader: str) -> subprocess.Popen[str]:
    """A process that asks twelve times, once it is told to."""
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-c", _ASK, str(site.root), reader],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def test_two_processes_and_this_one_never_give_a_study_twice(site: MadeUpSite) -> None:
    processes = [asking(site, reader) for reader in ("anna", "ben")]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    worklist = site.worklist()
    given = [worklist.next(site.wish(strategy="random", reader="eve")).proposals[0].study for _ in range(12)]
    for process in processes:
        given += process.communicate(timeout=60)[0].split()
        assert process.returncode == 0
    assert len(given) == len(set(given)) == 36
    assert len(site.leases().held()) == 36

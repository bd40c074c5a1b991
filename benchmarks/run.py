"""All benchmarks, one after the other: ``make bench``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("reading.py", "networks.py")


def main() -> int:
    """Run every script in a process of its own, so that none warms the next one up."""
    here = Path(__file__).parent
    codes = [subprocess.run([sys.executable, str(here / name)], check=False).returncode for name in SCRIPTS]
    return max(codes)


if __name__ == "__main__":
    raise SystemExit(main())

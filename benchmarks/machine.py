"""On what a benchmark ran: processor, memory, load, versions."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "opencv-python-headless", "pydicom", "torch")
OPTIONAL_LIBRARIES = ("openvino", "monai", "monailabel", "imagecodecs", "SimpleITK")


def about_this_machine() -> dict[str, Any]:
    """Processor, cores, memory, load, system, the command, and the versions of the libraries."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "transparent_huge_pages": _huge_pages(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        **{each: version(each) for each in LIBRARIES},
        **{each: found for each in OPTIONAL_LIBRARIES if (found := _version(each))},
    }


def describe(machine: Mapping[str, Any]) -> str:
    """The machine in a line or two."""
    names = [each for each in (*LIBRARIES, *OPTIONAL_LIBRARIES) if each in machine]
    libraries = ", ".join(f"{each} {machine[each]}" for each in names)
    more = "".join(f", {machine[each]}" for each in ("gpu",) if each in machine)
    return (
        f"{machine['cpu']}, {machine['cores']} cores{more}, {machine['memory_gib']} GiB, huge pages "
        f"{machine['transparent_huge_pages']}, load before {machine['load_before']}\n{libraries}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def _huge_pages() -> str:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.is_file():
        return "n/a"
    return setting.read_text(encoding="utf-8").partition("[")[2].partition("]")[0]

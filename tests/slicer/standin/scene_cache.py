"""Where a scene unpacks what it reads from an MRB; Slicer has a folder for it in its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def add_cache(slicer: Any, scene: Any, folder: Path) -> None:
    """Let a scene use an empty folder that does not exist yet."""
    folder.mkdir()
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(folder))
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)

"""The app's modules on the path, as MONAI Label puts them there, and one real server for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

APPS = Path(__file__).resolve().parents[2] / "apps"
sys.path[:0] = [str(APPS), str(APPS / "vptct")]

"""The table of the experiment: of the answers of our cells, or as published, in the same rows."""

from __future__ import annotations

from vpt_plugin.study.published import published_table
from vpt_plugin.study.rows import TableRow

__all__ = ["TableRow", "published_table"]

"""Engines: what computes a classifier's answers on one device. ``make_engine`` chooses one."""

from vpt_plugin.inference.engines.choose import check_backend, make_engine
from vpt_plugin.inference.engines.engine import BACKENDS, Engine

__all__ = ["BACKENDS", "Engine", "check_backend", "make_engine"]

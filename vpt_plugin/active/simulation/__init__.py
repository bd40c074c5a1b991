"""What active learning would have saved: a labelled set is replayed as if nobody had labelled it.

``sides`` draws who is held out and who may be chosen, ``learners`` make a network of what is labelled so far,
``replay`` is one strategy with one seed, ``records`` keep what was found, ``summary`` compares strategies,
``figure`` draws them, and ``simulate`` does all of it and goes on after an interruption.
"""

from __future__ import annotations

from vpt_plugin.active.simulation.settings import SimulationSettings
from vpt_plugin.active.simulation.simulate import Simulation, simulate
from vpt_plugin.active.simulation.summary import StrategySummary, summarise

__all__ = ["Simulation", "SimulationSettings", "StrategySummary", "simulate", "summarise"]

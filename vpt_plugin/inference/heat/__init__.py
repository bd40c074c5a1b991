"""Where in a study a network saw what it says: ``Explainer`` and ``HeatMap``. See docs/evidence.md.

``watch`` what a stage of a network said, and the gradient there; ``method`` what evidence is made of these;
``merge`` from overlapping clips to the study; ``grid`` the inverse of crop, padding and resize; ``render``
heat on voxels.
"""

from vpt_plugin.inference.heat.explainer import Explainer
from vpt_plugin.inference.heat.heat_map import HeatMap
from vpt_plugin.inference.heat.method import HIRES_CAM, Method

__all__ = ["HIRES_CAM", "Explainer", "HeatMap", "Method"]

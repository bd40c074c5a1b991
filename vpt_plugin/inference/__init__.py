"""From a volume and a classifier to an answer: ``Predictor`` and what it returns, ``Prediction``."""

from vpt_plugin.inference.prediction import ClipProbability, FindingPrediction, Prediction
from vpt_plugin.inference.predictor import Predictor
from vpt_plugin.models.device import choose_device

__all__ = ["ClipProbability", "FindingPrediction", "Prediction", "Predictor", "choose_device"]

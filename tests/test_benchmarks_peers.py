"""What the benchmarks race against says what ours says: else the race would mean nothing."""

import importlib
import math
import sys
from pathlib import Path

import pytest

from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_dicom

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = ("ours", "peers", "peers.paper", "memory")


@pytest.fixture
def load(monkeypatch):
    """Imports a module of the benchmarks, for one test."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A DICOM folder of a phantom."""
    config = PhantomConfig(pixels=160, slice_spacings_mm=(12.0,))
    folder = tmp_path_factory.mktemp("benchmark") / "study"
    write_dicom(make_phantom(3, nodule=True, contrast=True, emboli=True, config=config).volume, folder)
    return folder


def test_the_papers_way_says_of_every_clip_what_ours_says_in_float32(load, study):
    paper = load("peers.paper").WholeStudy(str(study))
    theirs, seconds = paper(network="tiny")
    assert paper(network="tiny", clips=2)[0] == theirs[:2]
    assert seconds > 0
    ours = load("ours").WholeStudy("torch", "float32", "cpu")(study=str(study), network="tiny")
    assert len(theirs) == len(ours["clips"]) > 2
    # Ours sees 256 levels of the HU window, theirs all.
    assert ours["clips"] == pytest.approx([1 / (1 + math.exp(-logit)) for logit in theirs], abs=5e-4)

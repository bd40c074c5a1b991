"""Of several networks the one that was served last chooses, however it came to be served."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpt_plugin.active.served_last import served_versions
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

TASK = TASKS["nodule"]
NETWORKS = (get_model("tiny"), get_model("swin_t"))


class Site:
    """A model store whose clock a test sets; two networks under the small weights of ``tiny``."""

    def __init__(self, root: Path) -> None:
        self.now = ""
        self.store = ModelStore(root, clock=lambda: self.now)

    def publish(self, model: str, at: str, *, serve: bool = True, **facts: object) -> None:
        self.now = at
        weights = new_classifier(get_model("tiny"), TASK.findings, seed=0)
        slices = get_model(model).clip_slices
        given = {"findings": TASK.findings, "created": "2026-01-01T00:00:00Z", **facts}
        card = ModelCard("nodule", model, pretraining="none", clip_slices=slices, **given)  # type: ignore[arg-type]
        self.store.publish(weights, card, serve=serve)

    def served(self) -> list[tuple[str, int]]:
        return [(card.model, card.version) for card in served_versions(self.store, TASK, NETWORKS).cards]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_nothing_is_served_where_nothing_was_trained(site: Site) -> None:
    found = served_versions(site.store, TASK, NETWORKS)
    assert (found.last, found.problems) == (None, ())


def test_the_last_to_be_served_comes_first_and_candidates_do_not_count(site: Site) -> None:
    site.publish("tiny", "2026-11-21T10:00:00Z")
    site.publish("swin_t", "2026-11-21T11:00:00Z")
    site.publish("tiny", "2026-11-21T12:00:00Z", serve=False)
    assert site.served() == [("swin_t", 1), ("tiny", 1)]


def test_a_rollback_counts_as_the_last_change(site: Site) -> None:
    site.publish("tiny", "2026-11-21T10:00:00Z")
    site.publish("tiny", "2026-11-21T11:00:00Z")
    site.publish("swin_t", "2026-11-21T12:00:00Z")
    site.now = "2026-11-21T13:00:00Z"
    site.store.rollback("nodule", "tiny", why="worse on real studies")
    assert site.served() == [("tiny", 1), ("swin_t", 1)]


def test_a_version_that_was_copied_by_hand_is_as_old_as_its_card(site: Site) -> None:
    site.publish("tiny", "2026-11-21T10:00:00Z")
    site.publish("swin_t", "2026-11-21T11:00:00Z", created="2026-11-20T00:00:00Z")
    (site.store.root / "nodule_swin_t" / "served.json").unlink()
    assert site.served() == [("tiny", 1), ("swin_t", 1)]


def test_what_cannot_answer_is_passed_over_and_told(site: Site) -> None:
    site.publish("tiny", "2026-11-21T10:00:00Z", findings=("effusion",))
    site.publish("swin_t", "2026-11-21T09:00:00Z")
    (site.store.root / "nodule_swin_t" / "served.json").write_text("{")
    found = served_versions(site.store, TASK, NETWORKS)
    assert found.cards == ()
    assert "trained for effusion, the task asks for lung_nodule" in found.problems[0]
    assert "nodule_swin_t" in found.problems[1]

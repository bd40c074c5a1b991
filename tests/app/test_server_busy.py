"""The real server under load: other routes answer, inference takes turns, who hangs up gives way."""

from __future__ import annotations

import threading
import time

import pytest
import requests


class Asking(threading.Thread):
    """A client in a thread; notes when its answer came."""

    def __init__(self, client, **request: object) -> None:
        super().__init__()
        self._ask = lambda: client.infer(**request)
        self.done_at = 0.0

    def run(self) -> None:
        self.response = self._ask()
        self.done_at = time.monotonic()


@pytest.mark.parametrize("model", ["nodule_tiny", "nodule_slow_r50"])
def test_info_answers_in_under_half_a_second_while_an_inference_runs(client, workshop, model: str) -> None:
    client.infer(model, image="p02.nii.gz")  # Loads the network, which is not what is measured here.
    # A study that nobody has asked about, or the answer would be there already.
    study = "long.nii" if model == "nodule_tiny" else "p02.nii.gz"
    asking = Asking(client, model=model, file=workshop.studies / study, named=f"busy_{study}")
    asking.start()
    seconds = []
    while asking.is_alive():
        seconds.append(client.get("/info/").elapsed.total_seconds())
        time.sleep(0.02)
    assert asking.response.status_code == 200, asking.response.text
    assert len(seconds) >= 10, "the inference was over too soon to measure anything"
    print(f"{model}: worst of {len(seconds)} GET /info/: {max(seconds):.3f} s")
    assert max(seconds) < 0.5


def test_inferences_are_answered_in_the_order_in_which_they_came(client, workshop) -> None:
    asking = []
    for number in range(4):
        # Of one study there would be one inference.
        asking.append(Asking(client, file=workshop.studies / "long.nii", named=f"order_{number}.nii"))
        asking[-1].start()
        time.sleep(0.3)
    for each in asking:
        each.join()
    assert [each.response.status_code for each in asking] == [200] * 4
    assert sorted(asking, key=lambda each: each.done_at) == asking


def test_who_hangs_up_gives_the_turn_away(client, workshop) -> None:
    before = client.process.log.count(": 499 cancelled")
    with pytest.raises(requests.Timeout):
        client.infer("nodule_slow_r50", image="long.nii", timeout=2)
    began = time.monotonic()
    next_one = client.infer(file=workshop.studies / "p02.nii.gz", named="next_one.nii.gz")
    assert next_one.status_code == 200
    # The whole of it would take minutes.
    assert time.monotonic() - began < 30
    assert client.process.log.count(": 499 cancelled") == before + 1

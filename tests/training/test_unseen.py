"""The loss on patches of held-out images, and the words when it rises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.core.specs import NetSpec, TargetSpec, TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.nets import build
from napari_unet.samples.simulated import nuclei
from napari_unet.targets import target
from napari_unet.training.course import Around
from napari_unet.training.fit import fit
from napari_unet.training.pairs import make_pair
from napari_unet.training.unseen import Unseen, risen_since, risen_words


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pair(seed):
    image, labels = nuclei((64, 72), count=6, diameter=16, seed=seed)
    return make_pair(image[None].astype(np.float32), labels, f"field {seed}")


def spec(**more):
    net = NetSpec(inputs=1, widths=(4, 8), outputs=3)
    values = {"name": "tiny", "net": net, "target": TargetSpec(name="distance"), "steps": 6, "batch": 4, "patch": 32}
    return TrainSpec(**(values | {"threads": 1, "every": 2} | more)).filled(load_task("cell"))


def network():
    torch.manual_seed(0)
    learn = target(spec().target)
    return build(spec().net.model_copy(update={"outputs": len(learn.CHANNELS) + 1}))


def test_the_patches_are_always_the_same_in_whatever_parts():
    learn, looked = target(spec().target), network()
    whole = Unseen([pair(0), pair(1)], spec(batch=16), learn)
    first = whole.measure(looked)
    assert whole.measure(looked) == first
    assert looked.training
    assert Unseen([pair(0), pair(1)], spec(batch=16), learn).measure(looked) == first
    # Neither the settings of the variation nor the number of the step has a say.
    assert Unseen([pair(0), pair(1)], spec(batch=16, augment={"noise": 0.9}), learn).measure(looked) == first
    assert Unseen([pair(2)], spec(batch=16), learn).measure(looked) != first
    assert Unseen([pair(0), pair(1)], spec(batch=16, accumulate=4), learn).measure(looked) == pytest.approx(first, 0.2)


class Watcher:
    def __init__(self, unseen=None, losses=()):
        self.unseen, self.losses = unseen, list(losses)

    def report(self, network, between):
        return {"loss": self.unseen.measure(network) if self.unseen else self.losses.pop(0)}, ()

    def score(self, validation):
        pass

    def glance(self, network, seconds):
        pass


def test_what_is_learned_lowers_it_on_images_that_are_not_learned_from(tmp_path):
    unseen = Unseen([pair(7)], spec(), target(spec().target))
    around = Around(look=Watcher(unseen))
    finish(fit([pair(0), pair(1)], spec(steps=60, every=20, rate=1e-2, average=0.8), tmp_path, around=around))
    losses = [row["validation loss"] for row in around.history.rows]
    assert losses[-1] < 0.8 * losses[0]


def rows(unseen, learned=None):
    learned = learned or [1 / (i + 1) for i in range(len(unseen))]
    return [
        {"step": 10 * (i + 1), "loss": one, "validation loss": other}
        for i, (one, other) in enumerate(zip(learned, unseen, strict=True))
    ]


def test_a_rise_is_noticed_where_it_began():
    turning = [1.0, 0.6, 0.5, 0.55, 0.6, 0.65, 0.7]
    assert risen_since(rows(turning)) == 30
    assert risen_since(rows(turning[:6])) is None  # too early to tell
    assert risen_since(rows(turning, [1.0] * 7)) is None  # nothing is learned by heart
    assert risen_since(rows([1.0, 0.6, 0.5, 0.51, 0.5, 0.52, 0.51])) is None  # noise
    assert risen_since([{"step": 1, "loss": 1.0}] * 9) is None  # nothing is held out
    assert risen_since([]) is None


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_what_falls_to_its_end_never_warns(length):
    for seed in range(20):
        falling = np.sort(np.random.default_rng(seed).uniform(0.1, 10, length))[::-1]
        assert risen_since(rows(falling.tolist())) is None


def test_it_is_said_once_and_what_to_do(tmp_path):
    losses = [1.0, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]
    shown = []
    how = spec(steps=20, rate=1e-2)
    finish(fit([pair(0)], how, tmp_path / "a", around=Around(look=Watcher(losses=losses))), shown.append)
    said = [p.news for p in shown if p.news]
    assert len(said) == 1
    assert "has risen since step 6" in said[0]
    assert "Train for fewer steps" in said[0]
    assert "best score are kept" in risen_words(6, True)
    assert any("validation loss 1.2" in p.note for p in shown)

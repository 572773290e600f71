"""Random geometry and intensity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_unet.core.specs import AugmentSpec
from napari_unet.training.augment import place_patch, recolor, sampling_grid

STILL = AugmentSpec(elastic=0, rotate=False, gamma=0, noise=0, blur=0, contrast=0, invert=0, gray=0, shuffle=0)


def rng(seed=0):
    return np.random.default_rng(seed)


def sample(image, points):
    return functional.grid_sample(image[None], points[None], "bilinear", "reflection", align_corners=False)[0]


@pytest.mark.parametrize("shape", [(40, 50), (10, 40, 50)])
@pytest.mark.parametrize("spec", [None, STILL, AugmentSpec(elastic_grid=8)], ids=["none", "still", "all"])
@pytest.mark.parametrize("zoom", [0.3, 1.0, 4.0])
def test_a_grid_has_the_shape_of_the_patch(shape, spec, zoom):
    points = sampling_grid(shape, 24, zoom, spec, rng())
    assert points.shape == (24,) * len(shape) + (len(shape),)
    assert points.dtype == torch.float32
    assert points.is_contiguous()
    assert torch.isfinite(points).all()
    assert torch.equal(points, sampling_grid(shape, 24, zoom, spec, rng()))
    # A patch larger than its image can only lie in the middle.
    if zoom >= 1:
        assert not torch.equal(points, sampling_grid(shape, 24, zoom, spec, rng(1)))


@pytest.mark.parametrize("shape", [(40, 50), (12, 40, 50)])
def test_without_changes_it_is_a_crop(shape):
    edge = 10
    points = sampling_grid(shape, edge, 1.0, None, rng())
    # The middle is anywhere, also between pixels: neighboring samples are one pixel apart along their own axis.
    pixels = (points.flip(-1) + 1) * torch.tensor(shape) / 2
    for axis in range(len(shape)):
        step = pixels.diff(dim=axis)
        expected = torch.zeros(len(shape))
        expected[axis] = 1
        torch.testing.assert_close(step, expected.expand(step.shape), rtol=0, atol=1e-4)
    ramp = torch.arange(shape[-1], dtype=torch.float32).expand(1, *shape)
    inside = (pixels[..., -1] - 0.5).clamp(0, shape[-1] - 1)
    within = (pixels[..., -1] > 0.5) & (pixels[..., -1] < shape[-1] - 0.5)
    torch.testing.assert_close(sample(ramp, points)[0][within], inside[within], rtol=0, atol=1e-3)


def test_zoom_is_patch_pixels_an_image_pixel():
    points = sampling_grid((64, 64), 16, 2.0, None, rng())
    assert float(points[0, 1, 0] - points[0, 0, 0]) == pytest.approx(2 / 64 / 2, abs=1e-6)


def test_patches_show_mostly_image():
    for seed in range(30):
        points = sampling_grid((64, 64), 32, 1.0, STILL, rng(seed))
        assert (points.abs() <= 1).all(-1).float().mean() > 0.75


def test_rotation_keeps_areas():
    spec = STILL.model_copy(update={"rotate": True})
    mirrored = []
    for seed in range(20):
        points = sampling_grid((64, 64), 9, 1.0, spec, rng(seed)).flip(-1) * 32
        down, right = points[1, 0] - points[0, 0], points[0, 1] - points[0, 0]
        area = float(down[0] * right[1] - down[1] * right[0])
        assert abs(area) == pytest.approx(1, abs=1e-3)
        mirrored.append(area < 0)
    assert 0 < sum(mirrored) < 20


def test_turning_and_mirroring_have_limits():
    spec = STILL.model_copy(update={"rotate": True, "angle": 20.0, "mirror": "y"})
    turned, mirrored = [], []
    for seed in range(40):
        points = sampling_grid((64, 64), 9, 1.0, spec, rng(seed)).flip(-1) * 32
        down, right = points[1, 0] - points[0, 0], points[0, 1] - points[0, 0]
        turned.append(np.degrees(np.arctan2(float(right[0]), float(right[1]))))
        mirrored.append(float(down[0]) < 0)
    assert max(np.abs(turned)) < 40  # the plane is stretched too
    assert min(turned) < -5
    assert max(turned) > 5
    assert 0 < sum(mirrored) < 40


def test_axes_are_magnified_apart():
    points = sampling_grid((20, 64, 64), 8, (0.5, 2.0, 2.0), None, rng()).flip(-1) * torch.tensor([10.0, 32, 32])
    assert float(points[1, 0, 0, 0] - points[0, 0, 0, 0]) == pytest.approx(2, abs=1e-5)
    assert float(points[0, 1, 0, 1] - points[0, 0, 0, 1]) == pytest.approx(0.5, abs=1e-5)


def test_volumes_are_turned_in_the_plane_only():
    spec = STILL.model_copy(update={"rotate": True})
    points = sampling_grid((20, 40, 40), 8, 1.0, spec, rng()).flip(-1) * torch.tensor([10.0, 20, 20])
    down = points[1, 0, 0] - points[0, 0, 0]
    assert abs(float(down[0])) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(down[1:], torch.zeros(2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(256, 256), (64, 64, 64)])
def test_elastic_displacements_are_smooth_and_bounded(shape):
    edge = shape[0] // 2
    spec = STILL.model_copy(update={"elastic": 4.0, "elastic_grid": 16})
    strongest = 0.0
    for seed in range(5):
        bent = sampling_grid(shape, edge, 1.0, spec, rng(seed)).flip(-1) * torch.tensor(shape) / 2
        flat = sampling_grid(shape, edge, 1.0, STILL, rng(seed)).flip(-1) * torch.tensor(shape) / 2
        moved = bent - flat
        moved = moved - moved.mean(tuple(range(len(shape))))
        strongest = max(strongest, float(moved.abs().max()))
        assert float(moved.diff(dim=0).abs().max()) < 2.5
    assert 2 < strongest < 40


@pytest.mark.parametrize(("have", "want", "shape"), [(1, 1, (8, 9)), (1, 3, (8, 9)), (3, 3, (8, 9)), (1, 2, (4, 8, 9))])
@pytest.mark.parametrize("spec", [None, AugmentSpec()], ids=["none", "all"])
def test_colors_come_to_the_networks_channels(have, want, shape, spec):
    image = torch.rand(have, *shape)
    copy = image.clone()
    for seed in range(10):
        out = recolor(image, want, spec, rng(seed))
        assert out.shape == (want, *shape)
        assert out.dtype == torch.float32
        assert torch.isfinite(out).all()
        assert torch.equal(out, recolor(image, want, spec, rng(seed)))
    assert torch.equal(image, copy)


def test_no_change_is_no_change():
    image = torch.rand(3, 8, 9)
    for seed in range(10):
        torch.testing.assert_close(recolor(image, 3, None, rng(seed)), image, rtol=0, atol=0)
        # Blur and noise are drawn but of strength 0.
        torch.testing.assert_close(recolor(image, 3, STILL, rng(seed)), image, rtol=0.5, atol=0.5)


def test_a_single_channel_is_repeated():
    out = recolor(torch.rand(1, 8, 9), 3, AugmentSpec(), rng())
    assert torch.equal(out[0], out[1])
    assert torch.equal(out[0], out[2])


def test_gray_shuffle_and_invert():
    image = torch.stack([torch.full((4, 4), v) for v in (0.1, 0.5, 0.9)])
    gray = recolor(image, 3, STILL.model_copy(update={"gray": 1.0}), rng())
    torch.testing.assert_close(gray[0], gray[2])
    assert 0.1 < float(gray[0, 0, 0]) < 0.9
    shuffled = {
        tuple(
            recolor(image, 3, STILL.model_copy(update={"shuffle": 1.0}), rng(seed))
            .mean((1, 2))
            .mul(10)
            .round()
            .tolist()
        )
        for seed in range(30)
    }
    assert shuffled >= {(1, 5, 9), (9, 5, 1), (5, 1, 9)}
    inverted = recolor(image, 3, STILL.model_copy(update={"invert": 1.0}), rng())
    torch.testing.assert_close(inverted, 1 - image, rtol=0, atol=0.2)


@pytest.mark.parametrize("shape", [(32, 48), (8, 32, 48)])
def test_a_lower_resolution_blurs_and_keeps_the_mean(shape):
    image = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    spec = STILL.model_copy(update={"low_resolution": 1.0})
    for seed in range(5):
        out, as_before = (recolor(image, 2, each, rng(seed)) for each in (spec, STILL))
        assert out.shape == image.shape
        assert float(out.std()) < 0.9 * float(as_before.std())
        assert abs(float(out.mean()) - float(image.mean())) < 0.2


@pytest.mark.parametrize("edges", [(10, 20), (4, 10, 20)])
def test_a_patch_lies_where_it_is_asked_for(edges):
    shape = (60, 80, 100)[-len(edges) :]
    middle = np.array([20.0, 30.0, 40.0])[-len(edges) :]
    points = sampling_grid(shape, edges, 1.0, STILL, rng(), middle)
    assert points.shape == (*edges, len(edges))
    pixels = (points.flip(-1) + 1) * torch.tensor(shape) / 2
    found = pixels.reshape(-1, len(edges)).mean(0)
    torch.testing.assert_close(found, torch.tensor(middle, dtype=torch.float32), rtol=0, atol=1e-3)
    # Beyond the edge it is moved so that it still shows mostly image.
    place = place_patch(shape, edges, (1.0,) * len(edges), rng(), middle * 0)
    far = sampling_grid(shape, edges, 1.0, STILL, rng(), place)
    assert (far.abs() <= 1).all(-1).float().mean() > 0.6


def test_bands_are_dropped_but_never_all():
    image = torch.full((5, 8, 8), 0.7)
    spec = STILL.model_copy(update={"drop_bands": 0.6})
    seen = [recolor(image, 5, spec, rng(seed)).amax((1, 2)) for seed in range(200)]
    kept = torch.stack(seen) > 0
    assert kept.any(1).all()
    share = 1 - kept.float().mean()
    assert 0.6 * 0.8 - 0.05 < share < 0.6 * 0.8 + 0.05  # one of five is always kept
    # A single channel, which stands for all, is never dropped.
    assert all(recolor(image[:1], 5, spec, rng(seed)).min() > 0 for seed in range(20))
    assert recolor(image, 5, STILL, rng(3)).min() > 0

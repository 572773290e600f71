"""bioimage.io packages, both ways: theirs run here as they say, ours run there; and no one is asked on the internet."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

import napari_unet
from napari_unet.core.axes import Image
from napari_unet.core.errors import MissingExtraError, ModelError
from napari_unet.core.specs import NormalizeSpec, SegmentSpec
from napari_unet.core.steps import finish
from napari_unet.models import bioimage_writer
from napari_unet.models._bioimage_steps import postprocessing, preprocessing
from napari_unet.models.bioimage_reader import find_description, read_package
from napari_unet.models.cards import find_model, read_card
from napari_unet.models.exchange import add_model, export_model
from napari_unet.models.foreign import open_foreign
from napari_unet.models.segment import segment_image
from napari_unet.nets import halo

from .conftest import GAINS, blurred

pytestmark = pytest.mark.usefixtures("offline")


def raw(shape=(64, 80)):
    """An image with bright squares."""
    image = np.random.default_rng(0).normal(500, 30, shape)
    for row in range(8, shape[0] - 8, 20):
        for column in range(8, shape[1] - 8, 20):
            image[row : row + 10, column : column + 10] += 3000
    return image.astype(np.float32)


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


def zipped(folder, file):
    with zipfile.ZipFile(file, "w") as out:
        for path in sorted(folder.iterdir()):
            out.write(path, path.name)
    return file


def describe(folder, content):
    import ruyaml

    with (folder / "rdf.yaml").open("w") as out:
        ruyaml.YAML(typ="safe").dump(content, out)
    return folder


def common(version):
    return {
        "type": "model",
        "format_version": version,
        "name": "Their squares",
        "description": "Finds squares.",
        "authors": [{"name": "Ada Example"}],
        "cite": [{"text": "Example et al. 2020", "doi": "10.1234/abcd"}],
        "license": "CC-BY-4.0",
        "documentation": "README.md",
        # What could be looked up on the internet, but must not be.
        "covers": ["https://example.org/cover.png"],
        "git_repo": "https://github.com/nobody/nothing",
        "attachments": [] if version.startswith("0.5") else {"files": ["https://example.org/a.txt"]},
    }


@pytest.fixture
def package5(tmp_path, library, blur_onnx):
    """A package in format 0.5: ONNX, sizes in steps, a halo, statistics and a sigmoid."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    blur_onnx(folder / "net.onnx", step=4)
    (folder / "README.md").write_text("# Their squares\n")
    image = raw()
    scaled = np.clip(image * 0.5 + 10, 0, 1500)
    wanted = sigmoid(blurred((scaled - scaled.mean()) / (scaled.std() + 1e-6)))
    np.save(folder / "in.npy", image[None, None])
    np.save(folder / "out.npy", wanted[None].astype(np.float32))
    space = [{"type": "space", "id": a, "size": {"min": 32, "step": 4}} for a in "yx"]
    ends = [{"type": "space", "id": a, "halo": 4, "size": {"tensor_id": "raw", "axis_id": a}} for a in "yx"]
    content = common("0.5.3") | {
        "inputs": [
            {
                "id": "raw",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["stain"]}, *space],
                "test_tensor": {"source": "in.npy"},
                "data": {"type": "float32"},
                "preprocessing": [
                    {"id": "scale_linear", "kwargs": {"gain": 0.5, "offset": 10.0}},
                    {"id": "clip", "kwargs": {"min": 0, "max": 1500}},
                    {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}},
                ],
            }
        ],
        "outputs": [
            {
                "id": "probabilities",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["foreground", "boundary"]}, *ends],
                "test_tensor": {"source": "out.npy"},
                "data": {"type": "float32"},
                "postprocessing": [{"id": "sigmoid"}],
            }
        ],
        "weights": {
            "onnx": {
                "source": "net.onnx",
                "opset_version": 17,
                "sha256": hashlib.sha256((folder / "net.onnx").read_bytes()).hexdigest(),
            }
        },
        "config": {
            "bioimageio": {"reproducibility_tolerance": [{"relative_tolerance": 1e-4, "absolute_tolerance": 1e-4}]}
        },
    }
    return SimpleNamespace(folder=describe(folder, content), content=content, image=image, wanted=wanted)


def test_a_package_of_format_5_gives_what_it_says(package5, home, tmp_path):
    card = add_model(zipped(package5.folder, tmp_path / "theirs.zip"))
    spec = card.foreign
    assert (card.name, card.license, card.authors) == ("Their squares", "CC-BY-4.0", ("Ada Example",))
    assert card.citations == ("Example et al. 2020 doi:10.1234/abcd",)
    assert (spec.format, spec.sizes, spec.halo) == ("onnx", ((32, 4), (32, 4)), (4, 4))
    assert (card.target.name, spec.scores, card.tile_invariant) == ("boundary", ((0,), (1,)), False)
    # What is measured, is measured once for the image, in its own intensities.
    rule = card.normalize
    assert (rule.kind, rule.joint, rule.floor, rule.ceiling) == ("mean_std", True, -20, 2980)
    model = open_foreign(find_model(card.name), card)
    result = finish(segment_image(Image(package5.image, "yx"), SegmentSpec(), model))
    assert result.objects == 12
    assert napari_unet.segment(package5.image, SegmentSpec(model=card.name)).hash == result.hash
    low, high = result.manifest["statistics"]["low"][0], result.manifest["statistics"]["high"][0]
    clipped = np.clip(package5.image, -20, 2980).astype(float)
    assert (low, high - low) == pytest.approx((clipped.mean(), clipped.std()), rel=1e-4)


def test_a_package_may_be_a_folder_or_its_description(package5, home):
    assert add_model(package5.folder, name="one").name == "one"
    assert add_model(package5.folder / "rdf.yaml", name="two").name == "two"


def test_another_result_than_the_package_says_is_refused(package5, home):
    np.save(package5.folder / "out.npy", (package5.wanted[None] + 3e-4).astype(np.float32))
    with pytest.raises(ModelError, match="does not reproduce its own test"):
        add_model(package5.folder)
    np.save(package5.folder / "out.npy", package5.wanted[None, :, :-1].astype(np.float32))
    with pytest.raises(ModelError, match="puts out the shape"):
        add_model(package5.folder)
    assert not [path for path in home.iterdir() if path.name[0] != "."]


@pytest.fixture
def package4(tmp_path, library, blur_script):
    """A package in format 0.4: TorchScript, channels last, percentiles of every channel, a cut border, two classes."""
    folder = tmp_path / "older"
    folder.mkdir()
    blur_script(folder / "net.pt", inputs=2, gains=(4.0,), axes="byxc", padding=0)
    (folder / "README.md").write_text("# Their squares\n")
    image = np.stack([raw((48, 48)), raw((48, 48)) * 2], -1)
    low, high = np.percentile(image[..., 0], [5, 95])
    wanted = blurred((image[..., 0] - low) / (high - low + 1e-6), (4.0,))[0, 1:-1, 1:-1]
    np.save(folder / "in.npy", image[None])
    np.save(folder / "out.npy", (wanted > 1.5)[None, ..., None].astype(np.float32))
    content = common("0.4.9") | {
        "timestamp": "2022-01-01T00:00:00",
        "inputs": [
            {
                "name": "raw",
                "axes": "byxc",
                "data_type": "float32",
                "shape": {"min": [1, 16, 16, 2], "step": [0, 8, 8, 0]},
                "preprocessing": [
                    {
                        "name": "scale_range",
                        "kwargs": {"mode": "per_sample", "axes": "yx", "min_percentile": 5, "max_percentile": 95},
                    }
                ],
            }
        ],
        "outputs": [
            {
                "name": "mask",
                "axes": "byxc",
                "data_type": "float32",
                "shape": {"reference_tensor": "raw", "scale": [1, 1, 1, 0], "offset": [0, -1, -1, 0.5]},
                "halo": [0, 2, 2, 0],
                "postprocessing": [{"name": "binarize", "kwargs": {"threshold": 1.5}}],
            }
        ],
        "test_inputs": ["in.npy"],
        "test_outputs": ["out.npy"],
        "weights": {"torchscript": {"source": "net.pt"}, "keras_hdf5": {"source": "net.h5"}},
    }
    return SimpleNamespace(folder=describe(folder, content), content=content, image=image)


def test_a_package_of_format_4_gives_what_it_says(package4, home, tmp_path):
    card = add_model(zipped(package4.folder, tmp_path / "older.zip"), name="older")
    spec = card.foreign
    assert (spec.format, spec.axes, spec.outputs) == ("torchscript", "byxc", ("byxc",))
    assert (spec.sizes, spec.halo) == (((16, 8), (16, 8)), (3, 3)), "one pixel is cut off, two are not to be trusted"
    assert (card.target.name, card.net.inputs, card.channels) == ("foreground", 2, (2,))
    assert (card.normalize.kind, card.normalize.joint, card.normalize.low) == ("percentile", False, 5)
    image = Image(package4.image, "yxc")
    assert finish(segment_image(image, SegmentSpec(), open_foreign(home / "older", card))).objects == 4


CODE = """
from pathlib import Path
import torch

Path({trap!r}).touch()

class Net(torch.nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, outputs, 3, padding=1, bias=False)

    def forward(self, x):
        return self.layer(x)
"""


@pytest.mark.parametrize("pickled", [False, True])
def test_python_code_of_a_package_needs_consent(package5, home, tmp_path, pickled):
    import torch

    from .conftest import Blur

    folder, trap = package5.folder, tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return type(trap).touch, (tmp_path / "unpickled",)

    weights = {"layer.weight": Blur().conv.weight.detach()} | ({"trap": Trap()} if pickled else {})
    torch.save(weights, folder / "weights.pt")
    (folder / "net.py").write_text(CODE.format(trap=str(trap)))
    digest = hashlib.sha256((folder / "net.py").read_bytes()).hexdigest()
    built = {"source": "net.py", "callable": "Net", "kwargs": {"outputs": 2}, "sha256": digest}
    entry = {"source": "weights.pt", "pytorch_version": "2.4", "architecture": built}
    describe(folder, package5.content | {"weights": {"pytorch_state_dict": entry}})
    with pytest.raises(ModelError, match=r"'Net' in a Python file that comes with it.*consent=True"):
        add_model(folder)
    assert not trap.exists()
    if pickled:
        with pytest.raises(ModelError, match="holds more than weights"):
            add_model(folder, consent=True)
        assert not trap.exists()
        assert not (tmp_path / "unpickled").exists()
        return
    card = add_model(folder, consent=True)
    assert trap.exists()
    assert sorted(p.name for p in (home / card.name).iterdir()) == ["card.json", "network.py", "weights.safetensors"]
    assert finish(
        segment_image(Image(package5.image, "yx"), SegmentSpec(), open_foreign(home / card.name, card))
    ).objects
    (folder / "net.py").write_text(CODE.format(trap=str(trap)) + "#")
    with pytest.raises(ModelError, match=r"'net\.py' was changed or damaged"):
        add_model(folder, name="again", consent=True)


def changed(package, change):
    content = json.loads(json.dumps(package.content))
    change(content)
    return describe(package.folder, content)


def axes_of(content, side="inputs"):
    return content[side][0]["axes"]


REFUSED = {
    "two inputs": (lambda c: c["inputs"].append(c["inputs"][0] | {"id": "other"}), "takes 2 inputs"),
    "other weights": (lambda c: c.update(weights={"keras_hdf5": {"source": "net.onnx"}}), "for other programs"),
    "changed weights": (lambda c: c["weights"]["onnx"].update(sha256="0" * 64), "changed or damaged"),
    "on the internet": (
        lambda c: c["weights"]["onnx"].update(source="https://example.org/net.onnx", sha256=None),
        "internet",
    ),
    "elsewhere": (lambda c: c["weights"]["onnx"].update(source="../net.onnx", sha256=None), "not its own|not what"),
    "absolute": (lambda c: c["weights"]["onnx"].update(source="/etc/passwd", sha256=None), "not its own|not what"),
    "missing": (lambda c: c["weights"]["onnx"].update(source="nowhere.onnx", sha256=None), "missing"),
    "a movie": (lambda c: axes_of(c).append({"type": "time", "size": 3}), "has an axis 'time'"),
    "larger": (lambda c: axes_of(c, "outputs")[2].update(scale=0.5), "larger or smaller|another size"),
    "longer": (lambda c: axes_of(c, "outputs")[2]["size"].update(offset=8), "another size"),
    "a step": (
        lambda c: c["inputs"][0].update(
            preprocessing=[{"id": "clip", "kwargs": {"min_percentile": 1, "max_percentile": 99}}]
        ),
        "'clip' with percentiles",
    ),
    "a measured output": (
        lambda c: c["outputs"][0].update(
            postprocessing=[{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}]
        ),
        "whole of every tile|not what",
    ),
    "every row": (
        lambda c: c["inputs"][0].update(preprocessing=[{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x"]}}]),
        "for every y by itself",
    ),
    "no model": (lambda c: c.update(type="dataset"), "describes no model"),
    "nothing": (lambda c: c.clear(), "not what bioimage.io asks for"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_is_said(package5, home, what):
    change, match = REFUSED[what]
    with pytest.raises(ModelError, match=f"(?s)'theirs' was not added.*({match})"):
        add_model(changed(package5, change))
    assert not [path for path in home.iterdir() if path.name[0] != "."]


def test_descriptions_that_cannot_be_read(package5, home):
    nested = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    for i, letter in enumerate("bcdefgh"):
        nested += f"{letter}: &{letter} [{', '.join(['*' + 'abcdefgh'[i]] * 10)}]\n"
    for text in ("a: [", nested, "- a", "\t", "!!python/object/apply:os.system ['true']"):
        (package5.folder / "rdf.yaml").write_text(text)
        with pytest.raises(ModelError, match=r"cannot be read|describes no model|not what"):
            add_model(package5.folder)
    (package5.folder / "rdf.yaml").write_text(" " * 2**21)
    with pytest.raises(ModelError, match="has no description"):
        add_model(package5.folder)


def test_a_test_tensor_with_a_pickle_is_not_read(package5, home, tmp_path):
    class Trap:
        def __reduce__(self):
            return type(tmp_path).touch, (tmp_path / "trapped",)

    np.save(package5.folder / "in.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ModelError, match=r"'in\.npy' cannot be read"):
        add_model(package5.folder)
    assert not (tmp_path / "trapped").exists()


def step(kind, **more):
    values = {"axes": None, "axis": None, "eps": 1e-6} | more
    return SimpleNamespace(id=kind, kwargs=SimpleNamespace(**values))


AXES = [
    SimpleNamespace(id="channel", type="channel", size=2),
    *(SimpleNamespace(id=a, type="space", size=None) for a in "yx"),
]


def test_preprocessing_in_our_terms():
    rule, before = preprocessing([step("ensure_dtype", dtype="float32")], AXES, "raw")
    assert (rule, before) == (NormalizeSpec(kind="none", limits=None), ())
    rule, before = preprocessing(
        [step("scale_range", axes=["y", "x"], min_percentile=2, max_percentile=98), step("clip", min=0.0, max=1.0)],
        AXES,
        "raw",
    )
    assert (rule.low, rule.high, rule.joint, rule.limits) == (2, 98, False, None)
    assert [(s.kind, s.least, s.most) for s in before] == [("clip", 0, 1)]
    rule, before = preprocessing([step("fixed_zero_mean_unit_variance", mean=[2.0, 4.0], std=[2.0, 8.0])], AXES, "raw")
    assert rule.kind == "none"
    assert before[0].gain == pytest.approx((0.5, 0.125), rel=1e-5)
    assert before[0].offset == pytest.approx((-1, -0.5), rel=1e-5)
    rule, _ = preprocessing([step("scale_linear", gain=4.0, offset=0.0), step("zero_mean_unit_variance")], AXES, "raw")
    assert (rule.kind, rule.joint, rule.eps) == ("mean_std", True, 2.5e-7)


@pytest.mark.parametrize(
    ("steps", "match"),
    [
        ([step("zero_mean_unit_variance")] * 2, "twice"),
        ([step("sigmoid"), step("zero_mean_unit_variance")], "does 'sigmoid' before it measures"),
        ([step("scale_linear", gain=-1.0, offset=0.0), step("zero_mean_unit_variance")], "does 'linear' before"),
        ([step("scale_linear", gain=[1.0, 2.0], offset=0.0, axis="y")], "along the axis 'y'"),
        ([step("scale_range", min_percentile=60, max_percentile=98)], "cannot be done here"),
        ([step("scale_range", min_percentile=1, max_percentile=98, reference_tensor="other")], "another input"),
        ([step("cellpose_flow_dynamics")], "not known here"),
    ],
)
def test_preprocessing_that_is_refused(steps, match):
    with pytest.raises(ModelError, match=match):
        preprocessing(steps, AXES, "raw")


def test_postprocessing_in_our_terms():
    kinds = [
        s.kind
        for s in postprocessing([step("sigmoid"), step("softmax", axis="channel"), step("binarize", threshold=0.5)])
    ]
    assert kinds == ["sigmoid", "softmax", "binarize"]


@pytest.fixture(scope="module")
def ours(bright, library, tmp_path_factory):
    """The bright model as a package; written once, because that takes seconds."""
    file = tmp_path_factory.mktemp("ours") / "ours.zip"
    return export_model(str(bright), file, "bioimageio")


def test_a_package_without_onnx_says_why(bright, library, tmp_path, monkeypatch):
    def fails(file, scores):
        raise ModelError("The network of 'bright' could not be written as ONNX: no such operator.")

    monkeypatch.setattr("napari_unet.models.bioimage_writer.write_onnx", fails)
    file = export_model(str(bright), tmp_path / "bright.zip", "bioimageio")
    with zipfile.ZipFile(file) as archive:
        assert "weights.onnx" not in archive.namelist()
        said = archive.read("README.md").decode()
    assert "no ONNX weights in this package. The network of 'bright' could not be written" in said


def test_our_package_passes_the_test_of_bioimage_io(ours):
    from bioimageio.core import test_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        summary = test_model(ours, devices=["cpu"])
    assert summary.status == "passed", summary.format()
    names = " ".join(detail.name for detail in summary.details if detail.status == "passed")
    assert "Reproduce test outputs from test inputs (torchscript)" in names
    assert "Reproduce test outputs from test inputs (onnx)" in names
    assert "n: 2" in names


def test_our_package_says_all_it_should(ours, bright, tmp_path):
    import ruyaml

    with zipfile.ZipFile(ours) as archive:
        archive.extractall(tmp_path)
    said = ruyaml.YAML(typ="safe").load(find_description(tmp_path).read_text())
    assert [cited["doi"] for cited in said["cite"]] == ["10.1007/978-3-319-24574-4_28"]
    assert said["authors"] == [{"name": "unknown"}]
    steps = [(p["id"], p["kwargs"]) for p in said["inputs"][0]["preprocessing"]]
    assert [kind for kind, _ in steps] == ["ensure_dtype", "scale_range", "clip", "ensure_dtype"]
    assert steps[1][1] == {"axes": ["channel", "y", "x"], "min_percentile": 1.0, "max_percentile": 99.8, "eps": 1e-6}
    assert (steps[2][1]["min"], steps[2][1]["max"]) == (-1, 4)
    rim = halo(read_card(bright).net)
    assert [a.get("halo") for a in said["outputs"][0]["axes"]] == [None, None, rim, rim]
    assert said["inputs"][0]["axes"][2]["size"] == {"min": 2 * rim + 2, "step": 2}
    assert said["outputs"][0]["axes"][1]["channel_names"] == ["foreground", "distance", "touching", "size"]
    assert "## Validation" in (tmp_path / "README.md").read_text()
    with (tmp_path / said["covers"][0]["source"]).open("rb") as file:
        assert file.read(4) == b"\x89PNG"
    assert {"card.json", "weights.safetensors", "weights.pt", "weights.onnx"} <= {p.name for p in tmp_path.iterdir()}


def test_our_package_comes_back_as_what_it_was(ours, bright, disks, home):
    card = add_model(ours)
    assert (card.name, card.sha256, card.foreign) == ("bright", read_card(bright).sha256, None)
    hashes = {
        napari_unet.segment(disks[0], SegmentSpec(model=name, diameter=12.0)).hash for name in ("bright", str(bright))
    }
    assert len(hashes) == 1


def test_our_package_runs_without_our_card(ours, disks, home, tmp_path):
    """As any other program's package, from its description alone."""
    with zipfile.ZipFile(ours) as archive:
        archive.extractall(tmp_path / "plain")
    (tmp_path / "plain" / "card.json").unlink()
    package = read_package(tmp_path / "plain", "plain")
    assert package.channels == ("foreground", "distance", "touching", "size")
    card = add_model(tmp_path / "plain", name="plain")
    assert (card.target.name, card.foreign.size, card.foreign.scores) == ("distance", 3, ((0,), (1,), (2,)))
    rgb = np.stack([disks[0]] * 3)
    model = open_foreign(home / "plain", card)
    assert finish(segment_image(Image(rgb, "cyx"), SegmentSpec(diameter=24.0), model)).objects > 30


def test_what_is_not_installed_is_named(bright, home, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bioimageio.spec", None)
    with pytest.raises(MissingExtraError, match=r"napari-unet-suite\[bioimageio\]"):
        export_model(str(bright), tmp_path / "a.zip", "bioimageio")
    assert not (tmp_path / "a.zip").exists()
    shutil.copytree(bright, tmp_path / "theirs")
    (tmp_path / "theirs" / "card.json").rename(tmp_path / "theirs" / "rdf.yaml")
    with pytest.raises(MissingExtraError, match="bioimageio"):
        add_model(tmp_path / "theirs")


def test_versions_that_do_not_work_together_are_named(library, monkeypatch):
    found = {"bioimageio.spec": "0.5.12.0", "pydantic": "2.14.3"}
    monkeypatch.setattr(bioimage_writer, "version", found.__getitem__)
    with pytest.raises(ModelError, match=r"bioimageio\.spec 0\.5\.12\.0 does not work with pydantic 2\.14\.3"):
        bioimage_writer.library("bioimageio.spec")
    found["pydantic"] = "2.13.5"
    assert bioimage_writer.library("bioimageio.spec") is library
    found |= {"bioimageio.spec": "0.5.14.3", "pydantic": "2.14.3"}
    assert bioimage_writer.library("bioimageio.spec") is library


def test_gains_are_those_of_the_test_networks():
    assert blurred(np.ones((3, 3)))[:, 1, 1].tolist() == pytest.approx(list(GAINS))

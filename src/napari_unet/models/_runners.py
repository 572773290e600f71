"""Foreign networks as callables: an array in the network's own order of axes, in; a list of arrays, out."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from ..core.errors import MissingExtraError, ModelError, UNetError
from ..core.foreign import ForeignSpec
from ._consent import require_consent
from ._torchscript import open_script, quiet

__all__ = ["Runner", "onnx_session", "open_runner", "run_onnx", "run_torch", "take_onnx"]

Arrays = list[npt.NDArray[Any]]
Runner = Callable[[npt.NDArray[np.float32]], Arrays]

_TYPES: Final = {"float": "float32", "float16": "float16", "double": "float64", "uint8": "uint8", "uint16": "uint16"}
_LOCK: Final = threading.Lock()


def open_runner(folder: Path, spec: ForeignSpec, name: str, device: str) -> Runner:
    """Open a foreign network.

    Parameters
    ----------
    folder : Path
        The model's folder.
    spec : ForeignSpec
        What its file is.
    name : str
        Of the model, for messages.
    device : str
        A device of torch.

    Returns
    -------
    callable
        Thread-safe; the same input gives the same output.

    Raises
    ------
    ModelError
        If it cannot be opened, or needs code that the user has not allowed.
    MissingExtraError
        If a package is needed that is not installed.
    """
    file = folder / spec.file
    if spec.format == "onnx":
        session = onnx_session(file, device)
        return lambda array: run_onnx(session, array, name)
    if spec.format == "torchscript":
        module = open_script(file, device)[0]
    else:
        require_consent(folder, spec, name)
        module = _built(folder, spec, name).to(device)
        _fill(module, file, spec.strict, name)
    return lambda array: run_torch(module, array, device, name)


def onnx_session(file: Path, device: str = "cpu") -> Any:
    """Open an ONNX file; one thread, so that sums are always added in the same order.

    Parameters
    ----------
    file : Path
        Its external data, if any, lie beside it.
    device : str
        A graphics card is used if ONNX Runtime can.

    Returns
    -------
    onnxruntime.InferenceSession
        Ready to run.

    Raises
    ------
    ModelError
        If the file cannot be opened, or names data outside of its folder.
    MissingExtraError
        If ONNX Runtime is not installed.
    """
    runtime = _package("onnxruntime")
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [p for p in (*wanted, "CPUExecutionProvider") if p in runtime.get_available_providers()]
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        _check_external(_package("onnx").load(str(file), load_external_data=False), file)
        return runtime.InferenceSession(str(file), options, providers=providers)
    except UNetError:
        raise
    except Exception as error:
        # Both libraries raise many kinds of errors, protobuf's and their own, without a common ancestor.
        raise ModelError(f"'{file.name}' is no ONNX network that can be run here: {error}") from error


def take_onnx(file: Path, into: Path) -> None:
    """Copy an ONNX network as one file, with the weights that it keeps beside it.

    Parameters
    ----------
    file, into : Path
        From where, and to where.

    Raises
    ------
    ModelError
        If the file is damaged, or names data outside of its folder.
    MissingExtraError
        If the package that reads ONNX is not installed.
    """
    onnx = _package("onnx")
    try:
        model = onnx.load(str(file), load_external_data=False)
        if _check_external(model, file):
            onnx.save(onnx.load(str(file)), str(into))
        else:
            shutil.copyfile(file, into)
    except UNetError:
        raise
    except Exception as error:
        # protobuf's errors, and those of the library's own, have no common ancestor.
        raise ModelError(f"'{file.name}' is no ONNX network: {error}") from error


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(name, "onnx", "An ONNX network") from error


def _check_external(model: Any, file: Path) -> set[str]:
    """Return the names of files that hold weights; refuse those that lie anywhere but in the network's own folder."""
    graphs = [model.graph, *(function for function in model.functions)]
    tensors: list[Any] = []
    while graphs:
        graph = graphs.pop()
        tensors += getattr(graph, "initializer", ())
        for node in graph.node:
            for attribute in node.attribute:
                graphs += [*attribute.graphs, attribute.g] if attribute.HasField("g") else attribute.graphs
                tensors += [*attribute.tensors, attribute.t]
    places = {e.value for t in tensors for e in t.external_data if e.key == "location"}
    for place in places:
        if any(c in place for c in "/\\:") or place.startswith(".") or (file.parent / place).is_symlink():
            raise ModelError(f"'{file.name}' wants to read '{place}', which is not in its folder. It is not opened.")
        if not (file.parent / place).is_file():
            raise ModelError(f"'{file.name}' keeps its weights in '{place}', which is missing. Put it beside the file.")
    return places


def run_onnx(session: Any, array: npt.NDArray[np.float32], name: str) -> Arrays:
    """Run an ONNX network on its first input."""
    entry = session.get_inputs()[0]
    dtype = _TYPES.get(entry.type.removeprefix("tensor(").removesuffix(")"))
    if dtype is None:
        raise ModelError(f"The network of '{name}' takes values of the type {entry.type}, which images do not have.")
    if np.dtype(dtype).kind == "u":  # brighter than its type knows is as bright as it knows
        array = np.clip(array, 0, np.iinfo(dtype).max)
    try:
        found = session.run(None, {entry.name: np.ascontiguousarray(array, dtype)})
    except Exception as error:
        raise _failed(name, array.shape, error) from error
    return [np.asarray(value) for value in found]


def run_torch(module: Any, array: npt.NDArray[np.float32], device: str, name: str) -> Arrays:
    """Run a torch module on one input; on one thread of a CPU, so that sums are always added in the same order."""
    try:
        with _one_thread(device), torch.inference_mode():
            found = module(torch.from_numpy(np.ascontiguousarray(array)).to(device))
    except Exception as error:
        # What foreign code raises is anything.
        raise _failed(name, array.shape, error) from error
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list | tuple) else [found]
    if not all(isinstance(value, torch.Tensor) for value in values):
        raise ModelError(f"The network of '{name}' returns something else than arrays, so it cannot be used here.")
    return [value.float().cpu().numpy() for value in values]


def _failed(name: str, shape: Sequence[int], error: Exception) -> ModelError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    return ModelError(f"The network of '{name}' failed on an array of shape {tuple(shape)}: {said[-1][:300]}")


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    threads = torch.get_num_threads()
    if device != "cpu" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _built(folder: Path, spec: ForeignSpec, name: str) -> torch.nn.Module:
    """Run the code that builds a network; only after :func:`require_consent`."""
    try:
        with _LOCK, quiet():
            module = importlib.import_module(spec.code) if spec.library else _imported(folder / spec.code)
            network = getattr(module, spec.entry)(**spec.options)
    except Exception as error:
        # What foreign code raises is anything.
        said = f"{type(error).__name__}: {error}"
        raise ModelError(f"The code of '{name}' ('{spec.code}', '{spec.entry}') failed. {said}") from error
    if not isinstance(network, torch.nn.Module):
        raise ModelError(f"The code of '{name}' ('{spec.entry}') returned no network of torch.")
    return network.eval()


def _imported(file: Path) -> Any:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    found = importlib.util.spec_from_file_location(f"napari_unet_foreign_{digest}", file)
    if found is None or found.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _fill(network: torch.nn.Module, file: Path, strict: bool, name: str) -> None:
    try:
        network.load_state_dict(load(file.read_bytes()), strict=strict)
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"The weights of '{name}' are not those of its network: {error}") from error

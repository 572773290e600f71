"""Can these workers do that run? Asked before it begins; who cannot, and why, is said by name."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..core.errors import ClusterError, OutputError
from ..core.steps import Progress, Steps
from ..io.addresses import as_address
from ..io.remote_labels import check_store
from ..models.devices import count_devices
from .hands import GPU
from .remote import describe, full, leave, see, versions

if TYPE_CHECKING:
    from distributed import Client

    from ..models.errand import Errand
    from .told import Told

__all__ = ["ask_steps", "call_all", "check_alike", "check_devices", "check_versions", "check_workers"]

_OURS: Final = ("napari-unet-suite", "dask", "distributed")  # must be the same as here
_THEIRS: Final = ("python", "torch", "numpy")  # must be the same on all workers
_SEEN: Final = 20.0  # seconds that a file written elsewhere may take to be seen here


def ask_steps(client: Client, errand: Errand) -> Steps[Told]:
    """See that all workers can do a run, and what they compute with.

    Parameters
    ----------
    client : Client
        Connected.
    errand : Errand
        The run.

    Returns
    -------
    Told
        The model, as all of them have it.

    Yields
    ------
    Progress
        While they are asked.

    Raises
    ------
    ClusterError
        If there is no worker, or some cannot do it; it says which and why.
    """
    yield Progress(0, 0, "Asking the workers")
    check_workers(client)
    who = check_devices(client, errand.settings.device)
    _check_disk(client, errand.run_folder.parent, who)
    if address := as_address(errand.place):
        call_all(client, check_store, address, workers=who)
    yield Progress(0, 0, "Loading the model on the workers")
    return check_alike(call_all(client, describe, errand, workers=who))


def check_workers(client: Client) -> None:
    """Check that there are workers, and that their versions are those of this program.

    Parameters
    ----------
    client : Client
        Connected.

    Raises
    ------
    ClusterError
        If there is none, or versions differ.
    """
    info = client.scheduler_info(n_workers=-1)
    if not info["workers"]:
        raise ClusterError(
            f"The cluster at {info['address']} has no workers. Start some, for example: dask worker {info['address']}"
        )
    check_versions(call_all(client, versions), versions())


def check_devices(client: Client, wanted: str) -> list[str]:
    """Check that the workers that are given networks have the device that is to compute them.

    Parameters
    ----------
    client : Client
        Connected.
    wanted : str
        See :func:`~napari_unet.models.devices.choose_device`.

    Returns
    -------
    list of str
        Their addresses: those that tell of a graphics card, or all where none does.

    Raises
    ------
    ClusterError
        If some have no such device; it says which, and what they have.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    cards = [address for address, worker in workers.items() if worker.get("resources", {}).get(GPU)]
    who = cards or list(workers)
    if wanted == "cpu" or (wanted == "auto" and not cards):
        return who
    there: dict[str, dict[str, int]] = call_all(client, count_devices, workers=who)
    kind, _, number = wanted.partition(":")
    kinds = ("cuda", "mps") if wanted == "auto" else (kind,)
    lacking = [a for a, has in there.items() if not any(has.get(k, 0) > int(number or 0) for k in kinds)]
    if not lacking:
        return who
    if wanted == "auto":
        raise ClusterError(
            f"{_said(lacking, 'has', 'have')} a GPU by its resources (GPU=1), but torch finds none there. Install "
            "torch for that card, and its driver; or start without GPU=1; or give --device cpu."
        )
    if len(lacking) == len(there):
        raise ClusterError(
            f"No worker has the device '{wanted}' that is asked for: {_said(lacking, 'has', 'have')} only "
            f"{', '.join(k for k, n in there[lacking[0]].items() if n)}. Start workers where there is a graphics card, "
            "with torch for it, or give --device cpu."
        )
    raise ClusterError(
        f"{_said(lacking, 'has', 'have')} no device '{wanted}' that is asked for; {len(there) - len(lacking)} of "
        f"{len(there)} workers have it. Start those with --resources GPU=1: then they do it alone. Or give --device "
        "cpu."
    )


def check_alike(told: Mapping[str, Told]) -> Told:
    """Check that all workers have one model and compute it in one way.

    Parameters
    ----------
    told : mapping of str to Told
        What each has loaded.

    Returns
    -------
    Told
        The model.

    Raises
    ------
    ClusterError
        If they differ; it says who.
    """
    first = next(iter(told.values()))
    if others := {address: model for address, model in told.items() if model.same != first.same}:
        raise ClusterError(
            f"The workers do not compute alike: {_named(others)}: {' '.join(next(iter(others.values())).same)}; the "
            f"others: {' '.join(first.same)}. Give --device and --runtime, and the same model to all."
        )
    return first


def call_all(
    client: Client, function: Callable[..., Any], *words: Any, workers: list[str] | None = None
) -> dict[str, Any]:
    """Call a function on workers.

    Parameters
    ----------
    client : Client
        Connected.
    function : callable
        Of this program.
    *words : Any
        What it is called with.
    workers : list of str, optional
        Addresses; by default all.

    Returns
    -------
    dict
        What it returned, by address.

    Raises
    ------
    ClusterError
        If it could not be called on some, or raised there; it says on which.
    """
    found: dict[str, Any] = client.run(function, *words, workers=workers, on_error="return")
    failed = {address: error for address, error in found.items() if isinstance(error, BaseException)}
    if not failed:
        return found
    error = next(iter(failed.values()))
    alike = [address for address, other in failed.items() if str(other) == str(error)]
    if isinstance(error, ImportError | AttributeError):
        raise ClusterError(
            f"{_named(alike)} cannot load this program ({error}). Install the same version of it where workers run: "
            'pip install "napari-unet-suite[cluster]"'
        ) from error
    some = f" ({len(alike)} of {len(found)})" if len(alike) < len(found) else ""
    raise ClusterError(f"{_named(alike)}{some} cannot take part: {str(error) or type(error).__name__}") from error


def check_versions(there: Mapping[str, Mapping[str, str]], here: Mapping[str, str]) -> None:
    """Check that versions fit together.

    Parameters
    ----------
    there : mapping of str to mapping
        By worker, then by package.
    here : mapping of str to str
        By package.

    Raises
    ------
    ClusterError
        If they do not; it names package, versions and workers.
    """
    first = next(iter(there.values()))
    for package, expected, who in (
        *((name, here[name], "this program") for name in _OURS),
        *((name, first[name], "other workers") for name in _THEIRS),
    ):
        others = [address for address, found in there.items() if found[package] != expected]
        if others:
            raise ClusterError(
                f"{_said(others, 'has', 'have')} {package} {there[others[0]][package]}, {who} {expected}. Install the "
                "same version everywhere: labels could differ."
            )


def _check_disk(client: Client, folder: Path, who: list[str]) -> None:
    """See that all workers can read and write where the labels are to be, by a small file."""
    name = f".{uuid.uuid4().hex[:12]}.hello"
    try:
        folder.mkdir(exist_ok=True)
        leave(folder / name)
    except OSError as error:
        if words := full(str(folder), error):
            raise OutputError(words[0].upper() + words[1:]) from error
        raise OutputError(f"'{folder}' cannot be written: {error.strerror or error}. Choose another folder.") from error
    try:
        answers = call_all(client, see, str(folder), name, workers=who)
        end = time.monotonic() + _SEEN
        while missing := [worker for worker, answer in answers.items() if not (folder / answer).exists()]:
            if time.monotonic() > end:
                raise ClusterError(
                    f"What {_said(missing, 'writes', 'write', start='the')} to '{folder}' cannot be seen here. "
                    "Labels and journal must lie on a disk that all workers share under the same name."
                )
            time.sleep(0.2)
    finally:
        for file in folder.glob(f"{name}*"):
            with contextlib.suppress(OSError):
                file.unlink()


def _said(workers: Collection[str], one: str, many: str, start: str = "The") -> str:
    """Name workers, and say of one or of many what they do."""
    return f"{start}{_named(workers).removeprefix('The')} {one if len(workers) == 1 else many}"


def _named(workers: Collection[str]) -> str:
    """Name workers, a few of them."""
    shown, more = list(workers)[:3], len(workers) - 3
    words = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return f"The worker {words}" if len(workers) == 1 else f"The workers {words}"

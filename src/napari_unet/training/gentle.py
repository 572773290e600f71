"""What a training does otherwise that goes on from a model, so that it cannot make a good model worse.

A network that has learned from many images is moved far by the first steps of an optimizer that knows nothing of it
yet, and by a few images that are all alike: what it knew is lost before anything is learned (McCloskey and Cohen 1989).
So the rate is much lower and rises slowly (as Howard and Ruder 2018 do it for language models), and the statistics of
normalizations stay those of many images. The model that is started from is judged first, and is the best so far. Where
it finds few of the objects there is little to lose, and in a training of some minutes (not in one of a hundred steps)
more to gain: the rate is ten times higher, and statistics follow the new images. One that learned something else lends
its weights: less is to be kept, and the rate is in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from ..core.model_card import ModelCard
from ..core.specs import TrainSpec

__all__ = ["gentle", "gentle_words", "goes_on", "pressed", "rose", "telling"]

_USUAL: Final = TrainSpec()
_GENTLE: Final = {"rate": 0.03 * _USUAL.rate, "warmup": 0.1, "frozen": 1.0}
_LENT: Final = {"rate": 0.1 * _USUAL.rate}
_PRESSED: Final = {"rate": 0.3 * _USUAL.rate, "warmup": 0.1, "frozen": 0.0}
_LITTLE: Final = 0.2  # mean AP, below which there is little to lose
_LONG: Final = {"minutes": 5.0, "steps": 500}  # from which on a higher rate has the time to settle
_SAME: Final = ("target", "normalize", "diameter", "grid")  # what decides, beside the network, what weights mean
_TELLING: Final = ("mDice", "mAP", "Dice")  # scores, the most telling first


def goes_on(spec: TrainSpec, card: ModelCard) -> bool:
    """Say whether a training goes on with a model as it is: all weights fit, and mean the same.

    Parameters
    ----------
    spec : TrainSpec
        With everything filled in.
    card : ModelCard
        Of the model that is started from.

    Returns
    -------
    bool
        No where other objects, or at another size, are to be learned: then it only lends its weights.
    """
    if spec.net is None or any(getattr(spec, name) != getattr(card, name) for name in _SAME):
        return False
    return spec.net.model_copy(update={"outputs": card.net.outputs}) == card.net


def gentle(given: TrainSpec, planned: TrainSpec, card: ModelCard) -> dict[str, Any]:
    """Return the settings of a training that goes on from a model.

    Parameters
    ----------
    given : TrainSpec
        What was set by name stays.
    planned : TrainSpec
        With everything filled in.
    card : ModelCard
        Of the model that is started from.

    Returns
    -------
    dict
        Fields of TrainSpec; where the model only lends its weights the rate alone, which is higher then.
    """
    wanted = _GENTLE if goes_on(planned, card) else _LENT
    return {name: value for name, value in wanted.items() if name not in given.model_fields_set}


def pressed(spec: TrainSpec, named: Collection[str], before: Mapping[str, float]) -> TrainSpec:
    """Return the settings of a training that goes on from a model which is no good on such images: it learns faster.

    Parameters
    ----------
    spec : TrainSpec
        As planned.
    named : collection of str
        The settings that were given by name, which stay.
    before : mapping of float
        Scores of the model that is started from, on images of the kind that is learned; empty if it was not judged.

    Returns
    -------
    TrainSpec
        The same one where the model does well enough, where the time is short, where the rate was given, or where it is
        no model that goes on.
    """
    gently = "rate" not in named and spec.start and spec.rate == _GENTLE["rate"]
    short = spec.steps < _LONG["steps"] if spec.minutes is None else spec.minutes < _LONG["minutes"]
    if not gently or short or before.get("mAP", 1.0) >= _LITTLE:
        return spec
    return spec.model_copy(update={name: value for name, value in _PRESSED.items() if name not in named})


def gentle_words(spec: TrainSpec) -> str:
    """Say how a training goes on from a model, if it does so gently.

    Parameters
    ----------
    spec : TrainSpec
        As planned.

    Returns
    -------
    str
        A sentence; empty for a training at the usual rate.
    """
    if not spec.start or spec.rate >= _USUAL.rate:
        return ""
    return (
        f"It goes on from '{spec.start}' at {spec.rate / _USUAL.rate:.2g} of the usual learning rate, so that what "
        "that model knows is not lost."
    )


def telling(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Return the name of the score by which two models are compared.

    Parameters
    ----------
    before, after : mapping of float
        Scores on the same images.

    Returns
    -------
    str
        The most telling one that differs, or that both have; empty where nothing can be compared.
    """
    both = [name for name in _TELLING if name in before and name in after]
    return next((name for name in both if before[name] != after[name]), both[0] if both else "")


def rose(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    """Say whether a model has become better, by the most telling score that differs; yes where none can be compared."""
    name = telling(before, after)
    return not name or after[name] > before[name]

"""Monte Carlo samples of a network with dropout: each silences channels of its own, the same for every tile.

Gal and Ghahramani 2016 ("Dropout as a Bayesian Approximation", section 4) average passes with dropout switched on. Here
a sample's masks are drawn once, from a seed: it is a network like any other, and no tile can change it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import ModelError
from ..core.specs import SegmentSpec
from ..nets._dropout import ChannelDropout, frozen
from .cards import find_model, read_card
from .model import Model
from .store import read_network

__all__ = ["dropout_samples"]


def dropout_samples(name: str, spec: SegmentSpec, seeds: Sequence[int]) -> list[Model]:
    """Return one model for each seed, with the dropout masks that it draws."""
    folder = find_model(name)
    card = read_card(folder)
    network = read_network(folder, card) if card.foreign is None else None
    if network is None or not any(isinstance(part, ChannelDropout) and part.rate for part in network.modules()):
        raise ModelError(
            f"The model '{card.name}' was {'made by another program' if card.foreign else 'trained without dropout'}, "
            "so there is nothing to sample. Set dropout_samples to 0 and average over flips or several models instead, "
            "or train a model with dropout."
        )
    return [Model(card, frozen(network, seed), spec.device, spec.runtime) for seed in seeds]

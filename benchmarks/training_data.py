"""Turn annotated fields into the pairs that training draws from."""

from __future__ import annotations

import numpy as np
from nuclei_data import MODALITIES, fields

from napari_unet.training.patches import Pair, make_pair

_RARE = {"brightfield_gray": 3.0, "he_light": 1.5, "he_dark": 1.5}


def pairs_of(split: str, modalities: tuple[str, ...] = MODALITIES) -> list[Pair]:
    """Load a split; larger images and rarer modalities are drawn more often."""
    pairs = []
    for field in fields(split, modalities):
        image = field.image.astype(np.float32)
        image = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
        low, high = np.percentile(image, (1.0, 99.8))
        image = np.clip((image - low) / max(high - low, 1e-6), -1, 4)
        weight = _RARE.get(field.modality, 1.0) * float(np.sqrt(field.labels.size / 256**2))
        pairs.append(make_pair(image, field.labels, field.id, weight))
    return pairs

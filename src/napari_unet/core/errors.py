"""Every error a user can meet. Each message says what happened, what was expected, and what to do."""

__all__ = [
    "AxesError",
    "Cancelled",
    "ClusterError",
    "ConflictError",
    "EditError",
    "ImageError",
    "InUseError",
    "MemoryShortError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "RegistryError",
    "SpecError",
    "TrainingDataError",
    "TrainingError",
    "UNetError",
]


class UNetError(Exception):
    """Base of all errors raised on purpose; its text is meant for the user."""


class AxesError(UNetError):
    """The axes of an image are missing, wrong or do not fit the model."""


class ImageError(UNetError):
    """An image is empty, unreadable or holds values that cannot be used."""


class SpecError(UNetError):
    """A setting is out of range or unknown."""


class RegistryError(UNetError):
    """A name is not in a registry (task, network, target, measure, metric)."""


class ModelError(UNetError):
    """A model is unknown, damaged, foreign or does not fit the image."""


class MemoryShortError(ModelError):
    """A device has too little memory for what it was given; less may do."""


class EditError(UNetError):
    """A correction by hand cannot be made; what it was to change stays as it is."""


class OutputError(UNetError):
    """A result cannot be written where it was asked to go."""


class InUseError(OutputError):
    """Another program is writing there right now."""


class TrainingDataError(UNetError):
    """Images and labels given for training do not fit together."""


class TrainingError(UNetError):
    """A training cannot go on."""


class ClusterError(UNetError):
    """Other processes cannot be reached, or cannot do what a run asks of them."""


class ConflictError(UNetError):
    """Another distribution owns the same import package."""


class MissingExtraError(UNetError):
    """An optional dependency is needed and is not installed.

    Parameters
    ----------
    package : str
        The missing import package.
    extra : str
        The extra of this distribution that installs it.
    purpose : str
        What it is needed for, in plain words.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed. "
            f'Install it with: pip install "napari-unet-suite[{extra}]"'
        )


class Cancelled(UNetError):
    """The user stopped the run; nothing half-written is left behind."""

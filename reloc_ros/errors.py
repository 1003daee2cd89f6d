"""Exceptions for a broken set-up.

Each message says what is wrong, the value found, the limit it broke and the remedy. An *expected* failure, such as
an image that cannot be localized, is a value instead: see `reloc_ros.types.Rejected`.
"""


class RelocError(Exception):
    """Base of every error raised on purpose by this package."""


class ConfigError(RelocError):
    """A configuration file or a parameter has an unknown key or a value out of range."""


class CameraError(RelocError):
    """A camera model is incomplete, unsupported or unusable (for example K = 0)."""


class ImageError(RelocError):
    """An image lies about its encoding, its size or its step, or cannot be decoded."""


class DegenerateGeometryError(RelocError):
    """The given geometry does not determine the asked-for transform."""


class DatasetError(RelocError):
    """A data set on disk is missing, incomplete or malformed; the message names the file."""


class BundleError(RelocError):
    """A bundle is missing, truncated, tampered with or of another schema."""


class BackendError(RelocError):
    """An inference back end cannot be created or failed to run."""


class EngineBuildError(BackendError):
    """TensorRT cannot make an engine of a graph; another precision may do."""


class TrainingError(RelocError):
    """Training cannot start, resume or continue."""


class ExportError(RelocError):
    """A trained network cannot become a bundle."""


class DownloadError(RelocError):
    """A file cannot be fetched, or what arrived is not what was published."""


class ProcessError(RelocError):
    """A process that this program started ended too early or does not answer; the message ends with its log."""

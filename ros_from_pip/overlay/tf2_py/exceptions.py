"""Why a transform cannot be given: the exceptions of tf2, by their names there."""

from __future__ import annotations


class TransformException(Exception):
    """Base of all tf2 exceptions."""


class ConnectivityException(TransformException):
    """Both frames are known, but no chain of transforms connects them."""


class LookupException(TransformException):
    """A frame is not known at all."""


class ExtrapolationException(TransformException):
    """The chain exists, but not at the time asked for."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or begins with a slash."""


class TimeoutException(TransformException):
    """The transform did not arrive in time."""

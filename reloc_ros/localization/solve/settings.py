"""The manifest's `solve` as a solver's own numbers: every key known, none missing."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from reloc_ros.errors import BundleError

T = TypeVar("T")

REMEDY = "write the bundle again with `reloc export`"


def read_settings(kind: type[T], settings: dict[str, Any], solver: str) -> T:
    """Return the settings dataclass of a solver.

    Args:
        kind: the dataclass; it checks its values itself.
        settings: what the manifest has.
        solver: name for the message.

    Raises:
        BundleError: a key is unknown or missing, or a value is out of range.
    """
    expected = {entry.name for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if set(settings) != expected:
        raise BundleError(
            f"solve has the keys {sorted(settings)}, the {solver} solver needs {sorted(expected)}; {REMEDY}"
        )
    return kind(**settings)


def check_number(name: str, value: float, *, least: float, most: float = float("inf"), whole: bool = False) -> None:
    """Refuse a setting that is no finite number from `least` to `most`.

    Raises:
        BundleError: it is not.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (
        is_number and least <= value <= most and abs(value) < float("inf") and (isinstance(value, int) or not whole)
    ):
        kind = "a whole number" if whole else "a number"
        raise BundleError(f"solve.{name} is {value!r}, must be {kind} from {least:g} to {most:g}; {REMEDY}")

"""Locations with options: `PATH?key=value&key=value`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from reloc_ros.errors import DatasetError

PARTS = ("all", "train", "test")
"""What `part` may say of a data set that comes with its own division; `all` when left out."""


@dataclass(frozen=True)
class Location:
    """A path that exists, and the options behind it."""

    path: Path
    options: dict[str, str]

    @classmethod
    def parse(cls, location: str, known: tuple[str, ...]) -> Location:
        """Return the parts of a location.

        Raises:
            DatasetError: the path does not exist, or an option is unknown, repeated or empty.
        """
        written, _, query = location.partition("?")
        try:
            pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
        except ValueError as error:
            raise DatasetError(f"options '{query}' must read key=value&key=value: {error}") from error
        options = dict(pairs)
        wrong = [key for key, value in pairs if key not in known or not value]
        if wrong or len(options) != len(pairs):
            raise DatasetError(
                f"options '{query}': {', '.join(wrong) or 'a key'} is unknown, empty or repeated; "
                f"known: {', '.join(known)}"
            )
        path = Path(written).expanduser()
        if not path.exists():
            raise DatasetError(f"data set '{path}' does not exist; check the path")
        return cls(path, options)

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Return an option that is one of some words, the first of them when left out.

        Raises:
            DatasetError: the value is another.
        """
        value = self.options.get(key, choices[0])
        if value not in choices:
            raise DatasetError(f"option {key} is '{value}', expected one of {', '.join(choices)}")
        return value

    def flag(self, key: str) -> bool:
        """Return a yes-or-no option, no when left out.

        Raises:
            DatasetError: the value is neither true nor false.
        """
        value = self.options.get(key, "false")
        if value not in ("true", "false"):
            raise DatasetError(f"option {key} is '{value}', expected true or false")
        return value == "true"

    def milliseconds(self, key: str, default: float) -> int:
        """Return a positive duration given in milliseconds, as nanoseconds.

        Raises:
            DatasetError: the value is not a positive number.
        """
        value = self.options.get(key, str(default))
        try:
            duration_ns = round(float(value) * 1e6)
        except (ValueError, OverflowError) as error:
            raise DatasetError(f"option {key} is '{value}', expected milliseconds") from error
        if duration_ns <= 0:
            raise DatasetError(f"option {key} is {value} ms, must be > 0")
        return duration_ns

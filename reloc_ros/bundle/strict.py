"""Reading plain YAML values into dataclasses without guessing: every key known, every key present, every type right."""

from __future__ import annotations

import dataclasses
import math
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from reloc_ros.errors import BundleError

T = TypeVar("T")

_SHOWN = 60  # characters of a wrong value in a message


def read_dataclass(cls: type[T], data: object, where: str) -> T:
    """Return an instance of the dataclass `cls` filled from a mapping.

    Args:
        cls: dataclass whose fields are str, int, float, tuples of those, plain dicts or dataclasses.
        data: what YAML gave.
        where: name of the place in the file, for messages.

    Raises:
        BundleError: unknown or missing key, or a value of the wrong type; the message names it.
    """
    if not isinstance(data, dict):
        raise BundleError(f"{where} is {_short(data)}, expected a mapping of keys to values")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = [key for key in data if key not in fields]
    if unknown:
        raise BundleError(f"{where} has the unknown key {unknown[0]!r}; known keys are {', '.join(fields)}")
    missing = [name for name in fields if name not in data]
    if missing:
        raise BundleError(f"{where} lacks the key {missing[0]!r}; write the bundle again with `reloc export`")
    hints = get_type_hints(cls)
    return cls(**{name: _read(hints[name], data[name], f"{where}: {name}") for name in fields})


def to_plain(value: Any) -> Any:
    """Return dataclasses as dicts and tuples as lists, so that YAML writes them without Python tags."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value


def _read(hint: Any, value: object, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return read_dataclass(hint, value, where)  # type: ignore[arg-type]
    if isinstance(hint, UnionType):
        return _read_union(hint, value, where)
    origin = get_origin(hint)
    if origin is tuple:
        return _read_tuple(hint, value, where)
    if origin is dict:
        return _read_dict(hint, value, where)
    if hint is Any:
        return value
    # YAML writes 2.0 as 2 when a person edits it, and bool is an int in Python only.
    accepted = (int, float) if hint is float else hint
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise BundleError(f"{where} is {_short(value)}, expected a value of type {hint.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise BundleError(f"{where} is {value}, expected a finite number")
    try:
        return hint(value)
    except OverflowError as error:
        raise BundleError(f"{where} is {_short(value)}, expected a finite number") from error


def _read_union(hint: Any, value: object, where: str) -> Any:
    for choice in get_args(hint):
        if type(value) is choice:
            return None if value is None else _read(choice, value, where)
        if dataclasses.is_dataclass(choice) and isinstance(value, dict):
            return _read(choice, value, where)
    names = " or ".join(choice.__name__ for choice in get_args(hint))
    raise BundleError(f"{where} is {_short(value)}, expected a value of type {names}")


def _read_tuple(hint: Any, value: object, where: str) -> tuple[Any, ...]:
    items = get_args(hint)
    if not isinstance(value, (list, tuple)):
        raise BundleError(f"{where} is {_short(value)}, expected a list")
    if items[-1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise BundleError(f"{where} has {len(value)} entries, expected {len(items)}")
    pairs = zip(items, value, strict=True)
    return tuple(_read(item, entry, f"{where}[{i}]") for i, (item, entry) in enumerate(pairs))


def _read_dict(hint: Any, value: object, where: str) -> dict[str, Any]:
    item = get_args(hint)[1]
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BundleError(f"{where} is {_short(value)}, expected a mapping with text keys")
    return {key: _read(item, entry, f"{where}.{key}") for key, entry in value.items()}


def _short(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}"

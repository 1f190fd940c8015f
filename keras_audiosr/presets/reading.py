"""Reads settings from JSON into dataclasses, and reports in one line what is wrong with them."""

import dataclasses
import difflib
import types
import typing
from typing import Any, TypeVar

from ..errors import ArtifactError, UsageError

T = TypeVar("T")


def read_settings(kind: type[T], given: Any, where: str) -> T:
    """Converts parsed JSON to an instance of a dataclass. Its fields may be dataclasses or tuples of them.

    Args:
        kind: the dataclass.
        given: the parsed JSON, which must be an object with the dataclass's fields as keys.
        where: name of the object, for error messages.

    Raises:
        ArtifactError: a key is missing or unknown, or a value has the wrong type or is out of its range.
    """
    if not isinstance(given, dict):
        raise ArtifactError(f"settings are an object; {where} is {repr(given)[:80]}; correct it")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    for key, value in given.items():
        if key not in fields:
            near = nearest(key, fields)
            raise ArtifactError(f"{where} has an unknown key {key!r}; did you mean {near!r}?")
        if not _fits(value, hints[key]):
            received = repr(value)[:80]
            raise ArtifactError(f"{where}, {key} must be {_name(hints[key])}; received {received}; correct it")
    missing = [name for name, field in fields.items() if name not in given and _required(field)]
    if missing:
        raise ArtifactError(f"{where} needs {', '.join(map(repr, missing))}; received none; add what is missing")
    try:
        return kind(**{key: _convert(value, hints[key], f"{where}.{key}") for key, value in given.items()})
    except UsageError as error:
        raise ArtifactError(f"{where}: {error}") from error


def require_keys(given: Any, needed: dict[str, Any], what: str, advice: str) -> None:
    """Checks that parsed JSON is an object with certain keys. It may have other keys too.

    Args:
        given: the parsed JSON.
        needed: the required keys and their types.
        what: name of the object, for error messages.
        advice: how to fix the problem, for error messages.

    Raises:
        ArtifactError: a key is missing, or a value has the wrong type. The message names the first such key, and a
            similar key if the object has one.
    """
    if not isinstance(given, dict):
        raise ArtifactError(f"{what} must be an object; received {repr(given)[:80]}; {advice}")
    for key, kind in needed.items():
        if key not in given:
            near = difflib.get_close_matches(key, given, n=1, cutoff=0.7)
            meant = f" but has {near[0]!r}" if near else ""
            raise ArtifactError(f"{what} must have {key!r}; it lacks this key{meant}; {advice}")
        if not _fits(given[key], kind):
            received = repr(given[key])[:80]
            raise ArtifactError(f"{what}, {key} must be {_name(kind)}; received {received}; {advice}")


def nearest(key: str, known: typing.Iterable[str]) -> str:
    """Returns the known key that is most similar to an unknown one."""
    return difflib.get_close_matches(key, list(known), n=1, cutoff=0.0)[0]


def _convert(value: Any, kind: Any, where: str) -> Any:
    """Converts a value from JSON to the type of its field."""
    if isinstance(kind, types.UnionType):
        kind = next((one for one in typing.get_args(kind) if _fits(value, one)), kind)
    if dataclasses.is_dataclass(kind) and value is not None:
        return read_settings(typing.cast(type, kind), value, where)
    if typing.get_origin(kind) is tuple:
        parts = _parts(kind, len(value))
        numbered = enumerate(zip(value, parts, strict=True))
        return tuple(_convert(part, one, f"{where}[{number}]") for number, (part, one) in numbered)
    return value


def _parts(kind: Any, length: int) -> tuple[Any, ...]:
    """Returns the types of a tuple's elements."""
    parts = typing.get_args(kind)
    return (parts[0],) * length if parts[1:] == (...,) else parts


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if dataclasses.is_dataclass(kind):
        return isinstance(value, dict)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            return False
        parts = _parts(kind, len(value))
        return len(value) == len(parts) and all(map(_fits, value, parts))
    return isinstance(value, typing.get_origin(kind) or kind)


def _name(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(map(_name, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        return "a list" if parts[1:] == (...,) else f"a list of {len(parts)} numbers"
    names = {types.NoneType: "null", float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return names.get(kind, "an object")


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING

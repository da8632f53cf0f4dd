"""Settings: fields of frozen dataclasses, read from text, from JSON and from the command line.

A *setting* is one field. It has its default in the dataclass and nowhere else, and its docstring explains it
wherever it is shown. `--set NAME=VALUE`, the query of an engine (`?beams=5`), a manifest and the options of a
verb are all read here, by the types of the fields, with the same messages.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from dragoman.errors import UserError

T = TypeVar("T")


def make(kind: type[T], given: Mapping[str, object], owner: str = "") -> T:
    """Make a `kind` of the settings that are given, by dotted names, and of its defaults for all others.

    Texts are read as the type of the field asks; other values are taken as they are. `owner` is named in
    messages, such as "The engine 'openai'". Raises UserError for a setting that does not exist and for a
    value that does not fit.
    """
    return kind(**_values(kind, None, given, owner, ""))


def change(settings: T, given: Mapping[str, object], owner: str = "") -> T:
    """Return a copy with some settings changed: `{"loss.sim_weight": "0.2"}`. Otherwise as `make`."""
    return typing.cast(T, _changed(settings, given, owner, ""))


def restore(kind: type[T], plain: Mapping[str, Any]) -> T:
    """Make a `kind` of the plain values of JSON, which knows neither tuples nor dataclasses.

    Raises TypeError where the values are not those of its fields.
    """
    hints = typing.get_type_hints(kind)
    values = dict(plain)
    for name, value in plain.items():
        inner = _dataclass_in(hints.get(name))
        if isinstance(value, dict) and inner is not None:
            values[name] = restore(inner, value)
        elif isinstance(value, list):
            values[name] = tuple(value)
    return kind(**values)


def pairs(
    given: Iterable[str], option: str, form: str, example: str, *, empty: bool = True
) -> list[tuple[str, str]]:
    """Split the values of a repeatable option at their first `=`.

    `form` and `example` are for the message: NAME=VALUE, epochs=5. `empty` says whether a value may be.
    """
    found = []
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals and (value or empty)):
            raise UserError(f"{option} takes {form}, got {one!r}. Example: {option} {example}")
        found.append((name, value))
    return found


def docs(kind: type) -> dict[str, str]:
    """Return the docstrings of the fields that have one, those of bases first, as single lines."""
    import ast
    import inspect
    import textwrap

    found = {}
    # From the base to the class itself, which may explain a field anew.
    for part in filter(dataclasses.is_dataclass, reversed(kind.__mro__)):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        assert isinstance(tree, ast.ClassDef)
        for field, after in zip(tree.body, tree.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def _changed(settings: Any, given: Mapping[str, object], owner: str, prefix: str) -> Any:
    return dataclasses.replace(settings, **_values(type(settings), settings, given, owner, prefix))


def _values(
    kind: type, current: object, given: Mapping[str, object], owner: str, prefix: str
) -> dict[str, Any]:
    """Read all settings before one is checked: values that only fit together may come in any order."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    parts: dict[str, dict[str, object]] = {}
    for setting, value in given.items():
        name, _, rest = setting.partition(".")
        if name not in fields:
            raise UserError(_unknown(prefix + setting, name, list(fields), owner))
        if rest:
            parts.setdefault(name, {})[rest] = value
        else:
            values[name] = _read(value, hints[name], prefix + name, owner)
    for name, inner in parts.items():
        whole = values.get(name, _default(fields[name]) if current is None else getattr(current, name))
        if not dataclasses.is_dataclass(whole):
            raise UserError(f"Setting {prefix + name!r} has no parts, got {', '.join(inner)}")
        values[name] = _changed(whole, inner, owner, f"{prefix}{name}.")
    return values


def _unknown(setting: str, name: str, known: list[str], owner: str) -> str:
    import difflib

    subject = f"{owner} has no setting" if owner else "No setting"
    near = difflib.get_close_matches(name, known, 1)
    hint = f". Did you mean {near[0]!r}?" if near else ""
    return f"{subject} {setting!r}. Known here: {', '.join(sorted(known)) or 'none'}{hint}"


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _read(value: object, kind: Any, name: str, owner: str) -> object:
    if not isinstance(value, str):
        return value
    try:
        return _parse(value, kind)
    except ValueError as error:
        message = str(error).replace("{name}", name)
        raise UserError(f"{f'{owner}: ' if owner else ''}{name} {message}") from None


def _parse(text: str, kind: Any) -> object:
    """Return the value of a type that a text says. Raises ValueError with the predicate of a message."""
    origin, options = get_origin(kind), get_args(kind)
    if origin is Literal:
        if text not in options:
            raise ValueError(f"must be one of {', '.join(map(str, options))}, got {text!r}")
        return text
    if origin in (typing.Union, types.UnionType):
        return _parse_union(text, options)
    if origin is not None and issubclass(origin, Iterable) and not issubclass(origin, Mapping):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"must be true or false, got {text!r}")
        return text.lower() == "true"
    if kind in (int, float):
        try:
            number: float = kind(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"must be {'a whole number' if kind is int else 'a number'}, got {text!r}")
        return number
    if dataclasses.is_dataclass(kind):
        # A dataclass may say how all of it is written in one word, as `text=hf:PATH`.
        written = getattr(kind, "from_text", lambda text: None)(text)
        if written is None:
            raise ValueError("holds several settings: set one of its parts, {name}.PART=VALUE")
        return written
    return kind(text)


def _parse_union(text: str, options: tuple[Any, ...]) -> object:
    if type(None) in options and text.lower() in ("none", ""):
        return None
    wrong: list[ValueError] = []
    for option in options:
        if option is not type(None):
            try:
                return _parse(text, option)
            except ValueError as error:
                wrong.append(error)
    raise wrong[0]


def _dataclass_in(hint: Any) -> type[Any] | None:
    found = (option for option in (hint, *get_args(hint)) if dataclasses.is_dataclass(option))
    return next((option for option in found if isinstance(option, type)), None)

"""Verbs, whose options are the fields of frozen dataclasses: a default and its explanation stand once.

    @click.command(cls=Verb)
    @options("dragoman.features.extract:ExtractOptions", most=spelled("--most-frames"))
    def command(options: ExtractOptions) -> None: ...

A field gives an option of its name, type and default, explained by the docstring below it. The verb gets all
of them as one value. A field that is a dataclass itself gives the options of its own fields.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from dragoman import settings
from dragoman.errors import MissingExtraError

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
AT_LEAST_1 = click.IntRange(min=1)


class Listed(click.ParamType):  # type: ignore[type-arg]  # generic only of late
    """Texts with commas between them."""

    name = "a,b,…"

    def convert(self, value: Any, *where: Any) -> tuple[str, ...]:
        # A default is a tuple already.
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(part.strip() for part in parts if part.strip())


LISTED = Listed()


@dataclasses.dataclass(frozen=True)
class Spelling:
    """Way in which a field is written, where its name and type do not say it."""

    flags: tuple[str, ...] = ()
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Attributes of `click.option`, or of `click.argument` where `cls` says so."""


PLAIN = Spelling()


class Renamed(click.Option):
    """An option that is read under its old flags as well, and shown under the new ones."""

    def __init__(self, flags: list[str], *, old: str, **attributes: Any) -> None:
        super().__init__([*flags, old], **attributes)
        self._old = old

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the line of the help, without the old flag."""
        shown = copy.copy(self)
        shown.opts = [flag for flag in self.opts if flag != self._old]
        return click.Option.get_help_record(shown, ctx)


def spelled(*flags: str, **attributes: Any) -> Spelling:
    """Write a field as these flags, with attributes of `click.option` that go before its own."""
    return Spelling(flags, attributes)


def argument(**attributes: Any) -> Spelling:
    """Write a field as an argument."""
    return Spelling((), {"cls": click.Argument, **attributes})


def assignments(example: str, flag: str = "--set", form: str = "NAME=VALUE", **attributes: Any) -> Spelling:
    """Write a field that is a mapping as an option that is repeated, such as `--set epochs=5`."""

    def read(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
        return dict(settings.pairs(given, flag, form, example))

    return spelled(flag, multiple=True, default=(), metavar=form, callback=read, **attributes)


CLUSTER: dict[str, Spelling | click.ParamType[Any] | None] = {
    "ray": spelled("--ray", is_flag=False, flag_value="auto", metavar="[ADDRESS]"),
    "ray_workers": AT_LEAST_1,
    "ray_cpus": AT_LEAST_1,
}
"""Spellings of the fields of `dragoman.blocks.Cluster`."""
NO_CLUSTER: dict[str, Spelling | click.ParamType[Any] | None] = dict.fromkeys(CLUSTER)


def options(
    kind: type | str, name: str = "options", **fields: Spelling | click.ParamType[Any] | None
) -> Callable[[F], F]:
    """Give a verb the options of a dataclass, as its parameter `name`; `fields` gives the types of some, or
    how they are written.

    `kind` is the class, or its place as "module:Class", imported when the verb is called or explained. A
    field that is None is left out, and keeps its default.
    """
    return click.option(f"--{name}", cls=Fields, kind=kind, fields=fields)


class Verb(click.Command):
    """A command, some of whose options are the fields of dataclasses."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.values = [param for param in self.params if isinstance(param, Fields)]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters with the fields among them, which are looked up only now.

        `dragoman --help` loads every verb for a line on it, and may not wait for what the verbs import.
        """
        each = ((param.parameters() if isinstance(param, Fields) else [param]) for param in self.params)
        self.params = [param for found in each for param in found]
        return super().get_params(ctx)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the verb with one value in place of its fields."""
        for one in self.values:
            assert one.name is not None
            ctx.params[one.name] = one.value(ctx.params)
        return super().invoke(ctx)


class Fields(click.Option):
    """A place among the parameters of a verb, where the options of a dataclass will stand."""

    def __init__(
        self,
        flags: list[str],
        *,
        kind: type | str,
        fields: dict[str, Spelling | click.ParamType[Any] | None],
        **attributes: Any,
    ) -> None:
        super().__init__(flags, **attributes)
        self._kind = kind
        self._spellings = {
            name: spelled(type=one) if isinstance(one, click.ParamType) else one
            for name, one in fields.items()
        }

    @cached_property
    def kind(self) -> type[Any]:
        """The dataclass."""
        if isinstance(self._kind, type):
            return self._kind
        module, _, name = self._kind.partition(":")
        found: type[Any] = getattr(importlib.import_module(module), name)
        return found

    def parameters(self) -> list[click.Parameter]:
        """Make the options."""
        found = list(_fields(self.kind, None, f"{self.name}"))
        strange = self._spellings.keys() - {field.name for _, _, field, _ in found}
        assert not strange, f"{self.kind.__name__} has no field {', '.join(strange)}"
        return [
            _parameter(name, kind, field, default, spelling)
            for name, kind, field, default in found
            if (spelling := self._spellings.get(field.name, PLAIN)) is not None
            and not dataclasses.is_dataclass(default)
        ]

    def value(self, given: dict[str, Any]) -> Any:
        """Make the value of what was given, and take it from there."""
        return _value(self.kind, None, f"{self.name}", given)


Found = tuple[str, type[Any], "dataclasses.Field[Any]", Any]


def _fields(kind: type[Any], whole: object, prefix: str) -> Iterator[Found]:
    """Yield the fields of a dataclass and of those in it, under names of their own, with their defaults."""
    for field in dataclasses.fields(kind):
        name, default = f"{prefix}__{field.name}", _default(field, whole)
        yield name, kind, field, default
        if dataclasses.is_dataclass(default):
            yield from _fields(type(default), default, name)


def _value(kind: type[Any], whole: Any, prefix: str, given: dict[str, Any]) -> Any:
    values = {}
    for field in dataclasses.fields(kind):
        name, default = f"{prefix}__{field.name}", _default(field, whole)
        if dataclasses.is_dataclass(default):
            values[field.name] = _value(type(default), default, name, given)
        elif name in given:
            value = given.pop(name)
            # Click has an empty tuple for a repeatable option that was not given.
            values[field.name] = default if value == () else value
    return kind(**values) if whole is None else dataclasses.replace(whole, **values)


def _default(field: dataclasses.Field[Any], whole: object) -> Any:
    if whole is not None:
        return getattr(whole, field.name)
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _parameter(
    name: str, kind: type[Any], field: dataclasses.Field[Any], default: Any, spelling: Spelling
) -> click.Parameter:
    given = dict(spelling.attributes)
    cls: type[click.Parameter] = given.pop("cls", click.Option)
    attributes: dict[str, Any] = {} if "type" in given or "multiple" in given else _of_type(kind, field.name)
    if default is dataclasses.MISSING:
        attributes["required"] = True
    else:
        attributes["default"] = default
    if cls is click.Argument:
        return cls([name], **attributes | given)
    # A flag that is off, and what is explained to hold where nothing is given, need no word on the default.
    attributes["show_default"] = default is not False and default not in (
        None,
        "",
        (),
        {},
        dataclasses.MISSING,
    )
    attributes["help"] = _explained(kind, field.name)
    flag = f"--{field.name.replace('_', '-')}"
    flag += f"/--no-{flag[2:]}" if default is True else ""
    return cls([name, *(spelling.flags or [flag])], **attributes | given)


def _explained(kind: type[Any], name: str) -> str:
    """Return the docstring of a field, which may be that of a base class, for a terminal."""
    owners = (base for base in kind.__mro__ if name in inspect.get_annotations(base))
    # Backticks are for pages and editors.
    return settings.docs(next(owners)).get(name, "").replace("`", "")


def _of_type(kind: type[Any], name: str) -> dict[str, Any]:
    """Return the attributes of an option that the type of a field gives."""
    owner = next(base for base in kind.__mro__ if name in inspect.get_annotations(base))
    # One by one: other fields may have types that are imported for the type checker alone.
    hint: Any = owner.__annotations__[name]
    hint = eval(hint, vars(sys.modules[owner.__module__])) if isinstance(hint, str) else hint
    union = isinstance(hint, types.UnionType) or get_origin(hint) is typing.Union
    choices = [one for one in get_args(hint) if one is not types.NoneType] if union else [hint]
    if Path in choices:
        return {"type": PATH}
    chosen, inner = choices[0], get_args(choices[0])
    if get_origin(chosen) is Literal:
        return {"type": click.Choice(inner)}
    if inner:
        return {"type": inner[0], "multiple": True}
    return {"is_flag": True} if chosen is bool else {"type": chosen}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """The model that reads queries for an index."""

    model: Path | None = None
    """Run or export to read queries with, in place of the one that the index names."""
    device: str = "cpu"
    """cpu, cuda, mps, or auto."""


@contextmanager
def needs(extra: str, purpose: str) -> Iterator[None]:
    """Say which extra of the package to install where an import fails: "Training needs the package …"."""
    try:
        yield
    except MissingExtraError as error:
        # Extras of what reads corpora bring that of corpora along: one command is enough.
        if error.extra == "corpus" and isinstance(error.__context__, ModuleNotFoundError):
            raise MissingExtraError(error.package, extra, purpose) from None
        raise
    except ImportError as error:
        raise MissingExtraError(str(error.name), extra, purpose) from None

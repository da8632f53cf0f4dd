"""The contract of a translation engine: how it fails, how its spec `name:argument?option=value` is read."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl

from dragoman import plugins
from dragoman.errors import Exit, UserError
from dragoman.settings import make
from dragoman.translation.languages import Language, language

Config = TypeVar("Config")

ENGINES = "dragoman.translation.engines"
"""The package whose modules are engines."""


class EngineError(Exception):
    """The engine failed on these lines, perhaps because of one of them: the job looks for it."""


class EngineUnavailableError(UserError):
    """The engine fails whatever the lines are: the job stops, and what was translated stays cached."""

    exit_code = Exit.FAILURE


@dataclass(frozen=True, slots=True)
class Rejected:
    """Stands where a translation should: this line cannot be translated, for this reason."""

    reason: str


class Engine(ABC):
    """Translates lines of one language into lines of another.

    `name` is what the captions' engine column says, `version` changes whenever the same line could come out
    otherwise (both belong to the key of the cache), and `batch_size` is how many lines a call takes best.
    """

    name: str
    version: str
    batch_size: int = 64

    @abstractmethod
    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        """One result a line, in order. Lines are non-empty and hold no line break and no control character.

        Raises EngineError where the call as a whole failed or took longer than `timeout` seconds, and
        EngineUnavailableError where no lines could ever succeed.
        """


def open_engine(spec: str, source: str, target: str, *, device: str | None = None) -> Engine:
    """The engine of `spec`, from language `source` to `target` (BCP 47 tags).

    `spec` is `name:argument`, and may go on with options: `transformers:facebook/m2m100_418M?beams=5`.
    `device` ("cpu", "cuda:0") is for the engines that run a model. Raises UserError for an unknown engine
    or language, an option or a pair that the engine does not have, or a missing installation.
    """
    name, _, rest = spec.partition(":")
    argument, _, query = rest.partition("?")
    module = plugins.load(ENGINES, name, "translation engine")
    engine: Engine = module.build(
        argument,
        language(source),
        language(target),
        read_config(name, module.Config, query),
        device,
    )
    return engine


class Description(NamedTuple):
    """An engine in words, from the docstring of its module."""

    spec: str
    """The name that a user gives, with a placeholder or an example as its argument."""
    what: str
    needs: str
    """Things that must be there besides dragoman itself."""


def describe_engine(name: str) -> Description:
    """The description of the engine `name`. Raises UserError for an unknown one."""
    return read_description(name, plugins.load(ENGINES, name, "translation engine").__doc__ or "")


def read_description(name: str, docstring: str) -> Description:
    """Read a docstring that begins as `dragoman.translation.engines` demands. Raises UserError for others."""
    found = _DESCRIPTION.match(" ".join(docstring.split()))
    if found is None or not found["spec"].startswith(f"{name}:"):
        raise UserError(
            f"Begin the docstring of dragoman/translation/engines/{name}.py with "
            f"'What it is: `{name}:ARGUMENT`.\\n\\nNeeds what.', for the help and the page on translation."
        )
    return Description(**found.groupdict())


_DESCRIPTION = re.compile(r"(?P<what>[^`]+): `(?P<spec>[^`]+)`\. Needs (?P<needs>.+?)\.(\s|$)")


def read_config(name: str, kind: type[Config], query: str) -> Config:
    """Read the settings of the engine `name` from `key=value&key=value`."""
    owner = f"The engine {name!r}"
    try:
        return make(kind, dict(parse_qsl(query, keep_blank_values=True)), owner)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{owner}: {error}") from None


def require_argument(argument: str, example: str) -> str:
    """`argument`, or a UserError that shows how a full spec looks."""
    if not argument:
        raise UserError(f"The engine {example.split(':')[0]!r} needs an argument, for example {example!r}.")
    return argument


def describe_options(options: object) -> str:
    """`?key=value&…` of what differs from the defaults, empty where nothing does."""
    fields = dataclasses.fields(options)  # type: ignore[arg-type]
    changed = {f.name: getattr(options, f.name) for f in fields if getattr(options, f.name) != f.default}
    return "?" + "&".join(f"{key}={value}" for key, value in changed.items()) if changed else ""


def short_tag(engine: Engine) -> str:
    """A short name for ids: the engine's kind and a fingerprint of its name, `apertium-1f3a5c`."""
    kind = re.sub(r"[^A-Za-z0-9]", "", engine.name.split(":")[0])
    return f"{kind}-{hashlib.sha256(engine.name.encode()).hexdigest()[:6]}"


def fingerprint(parts: Mapping[str, object]) -> str:
    """A short stable hash of named parts, for versions."""
    text = "\n".join(f"{key}={parts[key]}" for key in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


__all__ = [
    "Engine",
    "EngineError",
    "EngineUnavailableError",
    "Language",
    "Rejected",
    "describe_options",
    "fingerprint",
    "open_engine",
    "require_argument",
    "short_tag",
]

"""The contract of a translation engine, and what engines share.

An engine is found by its spec `name:argument?option=value`, gets lines (`one_line`), and says by its errors
whether to look for a bad line or to stop. `engines/__init__.py` says what its file declares.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import signal
import subprocess
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl

from dragoman import plugins
from dragoman.errors import UnavailableError, UserError
from dragoman.languages import language
from dragoman.settings import make

Config = TypeVar("Config")

ENGINES = "dragoman.translation.engines"
"""The package whose modules are engines."""


class EngineError(Exception):
    """The engine failed on these lines, perhaps because of one of them: the job looks for it."""


class EngineUnavailableError(UnavailableError):
    """The engine fails whatever the lines are: the job stops, and what was translated stays cached."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Stands where a translation should: this line cannot be translated, for this reason."""

    reason: str


Outcome = str | Rejected
"""A translation, or why there is none."""


class Engine(ABC):
    """Translates lines of one language into lines of another.

    `name` is what the captions' engine column says, `version` changes whenever the same line could come out
    otherwise (both belong to the key of the cache), and `batch_size` is how many lines a call takes best.
    """

    name: str
    version: str
    batch_size: int = 64
    doing = "translate into"
    """Word for the bar of progress, before the language."""
    unit = "lines"
    runs_on_gpu = False
    """True of one that runs a model on the device that it is opened for."""
    again: Callable[..., Engine] | None = None
    """Opens it anew, in another process, perhaps for another `device`; None of one without a spec."""

    @abstractmethod
    def translate(self, lines: Sequence[str], timeout: float) -> list[Outcome]:
        """One result a line, in order. Lines are non-empty and hold no line break and no control character.

        Raises EngineError where the call as a whole failed or took longer than `timeout` seconds, and
        EngineUnavailableError where no lines could ever succeed.
        """

    def words(self) -> list[str]:
        """The words of the source language that it knows, where it can list them; else none."""
        return []


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
    engine.again = partial(open_engine, spec, source, target, device=device)
    return engine


def offers(source: str, target: str) -> list[str]:
    """Specs of the engines that can translate from `source` to `target` (BCP 47 tags) on this computer as it
    is, without a download; best first, word for word last. Raises UserError for an unknown language."""
    return [f"{name}:{argument}" for name, argument in _asked("offers", source, target)]


def packages(source: str, target: str) -> list[str]:
    """Packages of Debian that would bring an engine from `source` to `target`, best first; those of one line
    belong together. Raises UserError for an unknown language."""
    return [names for _, names in _asked("packages", source, target)]


def word_for_word(spec: str) -> bool:
    """Tell whether the engine of a spec knows words alone, and no grammar."""
    return bool(getattr(plugins.load(ENGINES, spec.partition(":")[0], "translation engine"), "WORDS", False))


def _asked(what: str, source: str, target: str) -> list[tuple[str, str]]:
    """Engine and answer of each that has the function `what`."""
    ends = language(source), language(target)
    found = []
    for name in plugins.names(ENGINES):
        module = plugins.load(ENGINES, name, "translation engine")
        found += [(name, answer) for answer in getattr(module, what, lambda *ends: ())(*ends)]
    return sorted(found, key=lambda one: word_for_word(one[0]))


def engines_by_language(given: Sequence[str]) -> dict[str, str]:
    """Read values of `--engine LANG=ENGINE`: specs by the canonical tags of their languages. Raises UserError
    for another form, and an unknown language."""
    found = {}
    for one in given:
        lang, equals, spec = one.partition("=")
        if not equals or not spec:
            raise UserError(f"--engine is {one!r}, but LANG=ENGINE was expected: pt=apertium:eng-spa|es-pt")
        found[language(lang).tag] = spec
    return found


class EngineDescription(NamedTuple):
    """An engine in words, from the docstring of its module."""

    spec: str
    """The name that a user gives, with a placeholder or an example as its argument."""
    what: str
    needs: str
    """Things that must be there besides dragoman itself."""


def describe_engine(name: str) -> EngineDescription:
    """The description of the engine `name`. Raises UserError for an unknown one."""
    return read_description(name, plugins.load(ENGINES, name, "translation engine").__doc__ or "")


def read_description(name: str, docstring: str) -> EngineDescription:
    """Read a docstring that begins as `dragoman.translation.engines` demands. Raises UserError for others."""
    found = _DESCRIPTION.match(" ".join(docstring.split()))
    if found is None or not found["spec"].startswith(f"{name}:"):
        raise UserError(
            f"Begin the docstring of dragoman/translation/engines/{name}.py with "
            f"'What it is: `{name}:ARGUMENT`.\\n\\nNeeds what.', for the help and the page on translation."
        )
    return EngineDescription(**found.groupdict())


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
    # Of the name alone, not of the version: a newer engine replaces the captions of the older one.
    kind = re.sub(r"[^A-Za-z0-9]", "", engine.name.split(":")[0])
    return f"{kind}-{hashlib.sha256(engine.name.encode()).hexdigest()[:6]}"


def fingerprint(parts: Mapping[str, object]) -> str:
    """A short stable hash of named parts, for versions."""
    # Sorted: the order in which an engine happens to name its parts must not cost the whole cache.
    text = "\n".join(f"{key}={parts[key]}" for key in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# Engines that read lines split at different characters, U+2028 and U+0085 (a C1 control) among them: none of
# them may be left. Joiners that scripts need (U+200C, U+200D) stay.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]+")


def one_line(text: str) -> str:
    """`text` without line breaks, control characters and surplus white space, in composed form (NFC)."""
    return " ".join(unicodedata.normalize("NFC", _CONTROL.sub(" ", text)).split())


def run_program(command: Sequence[str], data: bytes, timeout: float) -> bytes:
    """Return the standard output of `command`, fed with `data`; nothing of it is left behind when it hangs.

    Raises EngineError after `timeout` seconds, and for an exit status other than 0.
    """
    # A group of its own, killed as a whole: Apertium is a shell before a pipe of a dozen programs. To kill
    # the shell alone would leave them running, and `communicate` waiting for them to close their end.
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, complaint = process.communicate(data, timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise EngineError(f"{command[0]} did not finish within {timeout:.3g} s") from None
        except BaseException:
            # Ctrl-C does not reach another session by itself.
            _kill_group(process)
            raise
    if process.returncode:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
        said = complaint.decode(errors="replace").strip().splitlines()
        raise EngineError(f"{command[0]} ended with {how}" + (f" ({said[-1][:200]})" if said else ""))
    return output


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

"""The command line: one thin file per verb, imported only when its verb is called."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from dragoman import plugins
from dragoman.errors import FULL, REFUSED, Exit, UserError, out_of_memory
from dragoman.progress import is_first_process

SHARED = ("verb",)
LEAST_MEMORY = {"torch": 2_000_000_000, "faiss": 600_000_000}
"""Bytes of address space that large libraries are loaded with."""
NO_MEMORY = (
    "The memory does not suffice. Earlier results are untouched; free some, or take less at once "
    "(--batch-size, --workers), and run the same command again."
)


class Verbs(click.Group):
    """Finds verb `name` in `cli/<name>.py`, whose `command` is a click command. Nothing is registered.
    A verb of two words has a hyphen, and its file an underscore.

    A verb file imports nothing but click, `cli.verb` and dragoman.errors at its top, so that `--help` stays
    fast.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name.replace("_", "-") for name in plugins.names(__name__)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = plugins.load(__name__, name.replace("-", "_"), "command").command
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dragoman")
@click.option("-v", "--verbose", is_flag=True, help="Log every step.")
@click.option("-q", "--quiet", is_flag=True, help="Log warnings only.")
def dragoman(verbose: bool, quiet: bool) -> None:
    """Search images and videos in languages in which nobody captioned them.

    \b
    dragoman corpus jsonl captions.jsonl --features vectors.npy --feature-ids ids.txt --out corpus/
    dragoman translate corpus/ --to pt --engine "apertium:eng-spa|es-pt" --back "apertium:pt-es|spa-eng"
    dragoman train corpus/ --recipe nrccr --source en --targets pt --features vectors --out run/
    dragoman evaluate run/ corpus/ --split test --languages pt,en --out report/
    """
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    if not is_first_process():
        level = logging.ERROR
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("dragoman").setLevel(level)


def main() -> NoReturn:
    """Run the command line; every failure a user can act on is one line on stderr and an exit status."""
    signal.signal(signal.SIGTERM, _terminated)
    # Before any library with threads is loaded. Those that wait for one another by spinning take the cores
    # from those that they wait for (benchmarks/reliability/threads.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _limit_memory()
    try:
        # Without standalone mode, click returns the status that a verb gave to `Context.exit`.
        status = dragoman.main(standalone_mode=False) or Exit.OK
    except click.exceptions.Exit as exit:
        status = exit.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        said = "Interrupted. What was finished is kept; run the same command again to go on."
        status = _say(said, Exit.INTERRUPTED) if is_first_process() else Exit.INTERRUPTED
    except UserError as error:
        status = _say(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = Exit.OK
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if out_of_memory(error):
            status = _say(NO_MEMORY, Exit.FAILURE)
        elif isinstance(error, OSError) and error.errno in (*FULL, *REFUSED, errno.ENOENT):
            status = _say(_describe(error), Exit.FAILURE)
        else:
            raise
    sys.exit(status)


class _TooLarge:
    """A finder of modules that refuses those for which this process may not have the memory that they need.

    Their libraries raise no errors where they get too little, but end the process or crash.
    """

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if self.allowed < (need := LEAST_MEMORY.get(name, 0)):
            have, need = self.allowed // 1_000_000, need // 1_000_000
            said = f"it needs {need:,} MB of address space, and this process may have {have:,}: ulimit -v"
            raise ImportError(said, name=name)


def _limit_memory() -> None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limits
        return
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY:
        sys.meta_path.insert(0, _TooLarge(allowed))


def _describe(error: OSError) -> str:
    where = f" while writing {error.filename}" if error.filename else ""
    if error.errno in FULL:
        return f"The disk is full{where}. Earlier results are untouched; free some space and run again."
    return f"{error.filename}: {error.strerror}"


def _say(message: str, status: int) -> int:
    click.echo(
        f"Error: {message}" if status not in (Exit.INTERRUPTED, Exit.TERMINATED) else message, err=True
    )
    return status


def _terminated(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(Exit.TERMINATED)

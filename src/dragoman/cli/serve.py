"""`dragoman serve`: search over HTTP, and the page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import ReaderOptions, Verb, needs, options, spelled
from dragoman.errors import UserError

if TYPE_CHECKING:
    from dragoman.service.access import Access


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The address of the service, its keys and its limits."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on; 0 is a free one."""
    api_keys: Path | None = None
    """File with the hashes of keys."""
    insecure: bool = False
    """Listen beyond this computer without keys."""
    allowed_host: tuple[str, ...] = ()
    """Name that the service answers to. May be repeated."""
    root_path: str = ""
    """Path before every route, where a proxy cuts one off."""
    recogniser: str = ""
    """Folder, address or hub id of a recogniser of speech: queries may be spoken, and the page listens."""
    house: Path | None = None
    """File with name, logo, colours, terms, licence and contact of who runs the page."""
    limits: tuple[str, ...] = ()
    """Change a limit, as in max_body_mb=50. May be repeated."""


@click.command(cls=Verb, no_args_is_help=True)
@click.argument("indexes", nargs=-1, metavar="[NAME=]INDEX...")
@options(ReaderOptions, "reader")
@options(
    ServeOptions,
    port=click.IntRange(0, 65535),
    api_keys=click.Path(dir_okay=False, path_type=Path),
    house=click.Path(dir_okay=False, path_type=Path),
    limits=spelled("--set", multiple=True, metavar="LIMIT=VALUE"),
)
@options(
    "dragoman.service.access:Access",
    "access",
    keys=None,
    hosts=None,
    cors=spelled(multiple=True, metavar="ORIGIN"),
    media_root=spelled(multiple=True, metavar="FOLDER"),
)
@click.option("--new-key", type=click.Path(dir_okay=False), help="Add a key to this file and print it.")
def command(
    indexes: tuple[str, ...],
    reader: ReaderOptions,
    options: ServeOptions,
    access: Access,
    new_key: str | None,
) -> None:
    """Serve one index or several over HTTP, with a page to search on.

    Only this computer can reach it, unless --host says otherwise; then it wants API keys.

    \b
    dragoman serve index/
    dragoman serve --new-key keys.txt
    dragoman serve photos=index/ maps=other/ --host 0.0.0.0 --api-keys keys.txt --public-search
    """
    with needs("serve", "dragoman serve"):
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    from dragoman.service import run
    from dragoman.service.access import LOOPBACK, KeyFile
    from dragoman.service.access import new_key as make_key
    from dragoman.service.app import create_app
    from dragoman.service.house import House, read_house

    if new_key is not None:
        click.echo(make_key(Path(new_key)))
        click.echo(f"Keep it: {new_key} holds only its hash.", err=True)
        return
    if not indexes:
        raise click.UsageError("Name an index: dragoman serve index/")
    local = run.is_loopback(options.host)
    if not local and options.api_keys is None and not options.insecure:
        raise UserError(
            f"{options.host} can be reached by others, so the service wants keys. Make one and name the "
            "file: dragoman serve --new-key keys.txt, then --api-keys keys.txt; or leave it open: --insecure"
        )
    folders = run.collections_of(indexes)
    config = run.config_of(options.limits)
    house = read_house(options.house) if options.house is not None else House()
    access = replace(
        access,
        keys=KeyFile(options.api_keys) if options.api_keys is not None else None,
        hosts=[*LOOPBACK, *options.allowed_host] if local or options.allowed_host else None,
    )
    from dragoman.search.searcher import Searcher
    from dragoman.speech.recogniser import open_recogniser

    # The socket comes first: a port that is taken is told before models are loaded.
    with run.listen(options.host, options.port) as bound:
        searchers = {
            # Absolute, so that what errors say of it is known for a path of this computer.
            name: Searcher.open(Path(folder).absolute(), model=reader.model, device=reader.device)
            for name, folder in folders.items()
        }
        recogniser = open_recogniser(options.recogniser, reader.device) if options.recogniser else None
        app = create_app(searchers, config, access, house, recogniser)
        run.settle()
        click.echo(run.address(bound))
        run.server(app, config, options.root_path).run(sockets=[bound])

"""`dragoman serve`: search over HTTP, and the page."""

from __future__ import annotations

from pathlib import Path

import click

from dragoman.errors import MissingExtraError, UserError


@click.command(no_args_is_help=True)
@click.argument("indexes", nargs=-1, metavar="[NAME=]INDEX...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--model", help="Run or export to read queries with, in place of the one that the index names.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or mps.")
@click.option("--api-keys", type=click.Path(dir_okay=False), help="File with the hashes of keys.")
@click.option("--new-key", type=click.Path(dir_okay=False), help="Add a key to this file and print it.")
@click.option("--public-search", is_flag=True, help="With keys: searching needs none, changes do.")
@click.option("--allow-writes", is_flag=True, help="Without keys: whoever reaches the service changes items.")
@click.option("--insecure", is_flag=True, help="Listen beyond this computer without keys.")
@click.option("--allowed-host", multiple=True, help="Name that the service answers to. May be repeated.")
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Origin whose pages may ask. May be repeated.")
@click.option("--root-path", default="", help="Path before every route, where a proxy cuts one off.")
@click.option("--set", "settings", multiple=True, metavar="LIMIT=VALUE", help="As in max_body_mb=50.")
def command(
    indexes: tuple[str, ...],
    host: str,
    port: int,
    model: str | None,
    device: str,
    api_keys: str | None,
    new_key: str | None,
    public_search: bool,
    allow_writes: bool,
    insecure: bool,
    allowed_host: tuple[str, ...],
    cors: tuple[str, ...],
    root_path: str,
    settings: tuple[str, ...],
) -> None:
    """Serve one index or several over HTTP, with a page to search on.

    Only this computer can reach it, unless --host says otherwise; then it wants API keys.

    \b
    dragoman serve index/
    dragoman serve --new-key keys.txt
    dragoman serve photos=index/ maps=other/ --host 0.0.0.0 --api-keys keys.txt --public-search
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "dragoman serve") from None
    from dragoman.service import run
    from dragoman.service.app import create_app
    from dragoman.service.edge import LOOPBACK
    from dragoman.service.keys import KeyFile
    from dragoman.service.keys import new_key as make_key

    if new_key is not None:
        click.echo(make_key(Path(new_key)))
        click.echo(f"Keep it: {new_key} holds only its hash.", err=True)
        return
    if not indexes:
        raise click.UsageError("Name an index: dragoman serve index/")
    local = run.is_loopback(host)
    if not local and api_keys is None and not insecure:
        raise UserError(
            f"{host} can be reached by others, so the service wants keys. Make one and name the file: "
            "dragoman serve --new-key keys.txt, then --api-keys keys.txt; or leave it open: --insecure"
        )
    folders = run.collections_of(indexes)
    config = run.config_of(settings)
    keys = KeyFile(Path(api_keys)) if api_keys is not None else None
    hosts = [*LOOPBACK, *allowed_host] if local or allowed_host else None
    from dragoman.search.searcher import Searcher

    with run.listen(host, port) as bound:
        searchers = {
            name: Searcher.open(folder, model=model, device=device) for name, folder in folders.items()
        }
        app = create_app(
            searchers,
            config,
            keys=keys,
            allow_writes=allow_writes,
            public_search=public_search,
            hosts=hosts,
            cors=cors,
        )
        click.echo(run.address(bound))
        run.server(app, config, root_path).run(sockets=[bound])

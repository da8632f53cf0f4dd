"""`dragoman mcp`: an index as tools of an assistant."""

from __future__ import annotations

from pathlib import Path

import click

from dragoman.cli.verb import PATH, ReaderOptions, Verb, needs, options


@click.command(cls=Verb, short_help="Let an assistant search an index (Model Context Protocol).")
@click.argument("index", type=PATH)
@options(ReaderOptions, "reader")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Answer over HTTP on this port of this computer, in the place of standard input and output.",
)
def command(index: Path, reader: ReaderOptions, port: int | None) -> None:
    """Let an assistant search INDEX, over the Model Context Protocol.

    \b
    dragoman mcp index/
    dragoman mcp index/ --port 8010

    The assistant starts it by itself, and talks to it over standard input and output:

    \b
    {"mcpServers": {"pictures": {"command": "dragoman", "args": ["mcp", "/srv/index"]}}}
    """
    with needs("mcp", "dragoman mcp"):
        import mcp  # noqa: F401
    from dragoman.search.detection import read_ahead
    from dragoman.search.searcher import Searcher
    from dragoman.service.assistant import make_server

    read_ahead()
    with Searcher.open(index, model=reader.model, device=reader.device) as searcher:
        if port is None:
            make_server(searcher).run()
        else:
            click.echo(f"http://127.0.0.1:{port}/mcp")
            make_server(searcher, port).run("streamable-http")

"""`dragoman compare`: is one system better than another, beyond noise?"""

from __future__ import annotations

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("reports", nargs=-1, required=True)
@click.option(
    "--baseline-row",
    help="Compare every row with this row of the first report, such as translate_test.",
)
@click.option(
    "--primary",
    metavar="LANGS:METRIC",
    help="The figure that decides, such as pt,zh:sum_r; what the reports recorded where not given.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap and the permutations.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    reports: tuple[str, ...], baseline_row: str | None, primary: str | None, seed: int, as_json: bool
) -> None:
    """Paired differences of REPORTS to the first of them, over the same queries.

    Reports of one system with several seeds are given together, with commas. Intervals and p values come from
    a bootstrap over images and seeds, or over images alone where a system has one seed. The primary figure
    comes first; p values of all others are corrected over the languages by Holm's method.

    \b
    dragoman compare report_a report_b
    dragoman compare a1,a2,a3 b1,b2,b3
    dragoman compare report_english report_nrccr --baseline-row translate_test
    """
    import json
    from dataclasses import asdict

    from dragoman.reports.compare import compare
    from dragoman.reports.terminal import difference_lines

    systems = [[folder for folder in one.split(",") if folder] for one in reports]
    differences = compare(*systems, baseline_row=baseline_row, primary=primary, seed=seed)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in differences], ensure_ascii=False, indent=2))
        return
    for line in difference_lines(differences):
        click.echo(line)

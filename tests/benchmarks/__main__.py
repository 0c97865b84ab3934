"""`make bench`: each thing beside its baseline, in one table. Nothing here passes or fails by its time.

A bench is a module `bench_*.py` with `run(rounds) -> {"rounds", "rows"}` and its ROUNDS and QUICK.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rows import Row

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--rounds", type=click.IntRange(1, 100_000), help="How often each thing is done.")
@click.option("--quick", is_flag=True, help="A first look, in less than 40 seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def main(names: tuple[str, ...], rounds: int | None, quick: bool, as_json: bool) -> None:
    """Measure all, or only NAMES. Progress goes to standard error."""
    results = {name: bench(name, rounds, quick) for name in names or NAMES}
    if as_json:
        click.echo(json.dumps(results))
        return
    show([row for result in results.values() for row in result["rows"]])


def bench(name: str, rounds: int | None, quick: bool) -> dict[str, Any]:
    module = import_module(f"bench_{name}")
    rounds = rounds or (module.QUICK if quick else module.ROUNDS)
    click.echo(f"{name}, {rounds} rounds … ", err=True, nl=False)
    begin = time.monotonic()
    result: dict[str, Any] = module.run(rounds)
    click.echo(f"{time.monotonic() - begin:.0f} s", err=True)
    return result


def show(rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    for head in ("ours p50", "baseline p50", "ratio"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("note")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        table.add_row(
            row["what"], milliseconds(row["ours_ms"]), milliseconds(row["baseline_ms"]), ratio, row["note"]
        )
    # A log or a pipe has no width of its own, and a folded table is hard to read there.
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)


def milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} ms"


if __name__ == "__main__":
    main()

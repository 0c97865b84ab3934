"""What several commands share: options, and tables."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.option(
    "--config",
    "-c",
    "config",
    type=click.Path(path_type=Path),
    default=Path("config.toml"),
    show_default=True,
    help="The configuration file.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """A table for people; cells are text as it is. Only the last column gives way to a narrow terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        last = head == heads[-1]
        table.add_column(head, no_wrap=not last, overflow="fold", ratio=1 if last else None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # for whatever reads it, a row is a line
    console.print(table)

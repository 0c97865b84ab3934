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
    """A table for people; cells are text as it is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)

"""What several commands share: options, and tables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from storage import DataFolder


class FilePath(click.Path):
    """A path as a Path; one with a NUL in it names nothing, and every call that got it would raise."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "\0" in str(value):
            self.fail("a path has no NUL in it.", param, ctx)
        return super().convert(value, param, ctx)


class Words(click.ParamType[str]):
    """Text to look for; bytes that are none would be found nowhere and can be asked of nobody."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail("this is not UTF-8.", param, ctx)
        return str(value)


CONFIG = click.option(
    "--config",
    "-c",
    "config",
    type=FilePath(),
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


async def asked(
    data: Path,
    command: str,
    arguments: Mapping[str, Any],
    alone: Callable[[DataFolder], Awaitable[Any]],
) -> Any:
    """The running bot's answer, or, when none runs, what `alone` makes of the data folder itself."""
    from bot.admin import ask
    from storage import DataFolder

    folder = DataFolder(data)
    try:
        return await ask(folder.admin_socket, command, dict(arguments))
    except ConnectionError:
        return await alone(folder)

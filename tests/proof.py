"""`make proof`: runs what tries to break the promises, and prints in one table how often it tried.

A test that belongs here carries `@pytest.mark.proof("row")` with one of ROWS; each counts once, or as often
as it says with `record_property("cases", n)`. All but those marked `soak` are part of `make test` as well.
"""

from __future__ import annotations

import datetime
import json
import platform
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).with_name("PROOF.md")

ROWS = {
    "crash": ("Crash scenarios", "single and double, at every numbered point of the way of a mention"),
    "mutants": ("Mutants caught", "rules taken out of the code: the crash scenarios notice each"),
    "power": ("Power cuts", "only what had reached the disk is left; nothing acknowledged is missing"),
    "order": ("Orders on the disk", "system calls traced: the disk has it before the answer leaves"),
    "kills": ("Kills survived", "SIGKILL of bot, playground and sandboxes in mid-turn, over the wire"),
    "recovery": ("Rules of recovery", "what a start after a crash does, a rule a test"),
    "outside": ("Failing outside", "Slack, GitHub, disk and clock misbehave"),
    "inside": ("Attacks from inside a sandbox", "files, network, signals, floods, the kernel"),
    "gateway": (
        "Attacks on the way out",
        "hosts, addresses, paths, requests and keys a sandbox has no right to",
    ),
    "output": ("Hostile output", "bundles, protocol lines and texts a sandbox hands out"),
    "canary": ("Places searched for secrets", "every secret is marked; none is found"),
    "input": ("Bad input", "configuration, command line, control API, Slack, clicks"),
    "budgets": ("Attempts to overspend", "floods, lies, hang-ups and crashes against every budget"),
    "playground": ("Strangers at the playground", "other pages, other hosts, no token"),
}


class Tally:
    """Counts as pytest goes: what was tried per row, and what failed."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.tests: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._rows: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if (mark := item.get_closest_marker("proof")) is not None:
                (row,) = mark.args
                if row not in ROWS:
                    raise pytest.UsageError(f"{item.nodeid}: there is no row {row!r} in tests/proof.py")
                self._rows[item.nodeid] = row

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self._rows.get(report.nodeid)
        if row is None:
            return
        if report.failed:
            self.failed[row] += 1
        elif report.skipped:
            self.skipped[row] += 1
        elif report.when == "call":
            cases = [int(value) for name, value in report.user_properties if name == "cases"]
            self.tests[row] += 1
            self.tried[row] += sum(cases) or 1

    def rows(self) -> Iterator[dict[str, Any]]:
        for row, (what, how) in ROWS.items():
            if self.tests[row] or self.failed[row] or self.skipped[row]:
                yield {
                    "row": row,
                    "what": what,
                    "how": how,
                    "tried": self.tried[row],
                    "tests": self.tests[row],
                    "failed": self.failed[row],
                    "skipped": self.skipped[row],
                }


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(ROWS)))
@click.option("--write", is_flag=True, help=f"Put the table into tests/{PAGE.name} as well.")
@click.option("--short", is_flag=True, help="Leave out what takes minutes: most pairs of crashes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def main(names: tuple[str, ...], write: bool, short: bool, as_json: bool) -> None:
    """Run all rows, or only NAMES, and print the table. Exits with pytest's code."""
    tally = Tally()
    wanted = "proof and not soak" if short else "proof"
    options = ["-m", wanted, "-p", "no:cacheprovider", "-o", "addopts=--strict-markers"]
    quiet = ["-p", "no:terminal"] if as_json else ["-q", "-ra", "--no-header"]
    code = int(pytest.main([*options, *quiet, str(PAGE.parent)], plugins=[tally, Only(names)]))
    found = list(tally.rows())
    if as_json:
        click.echo(json.dumps({"rows": found, "exit": code}))
    else:
        show(found)
    if write and code == 0 and not names:
        PAGE.write_text(page(found, " --short" if short else ""))
    sys.exit(code)


class Only:
    """Leaves out the tests of other rows."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if not self._names:
            return
        marks = [(item, item.get_closest_marker("proof")) for item in items]
        items[:] = [item for item, mark in marks if mark is not None and mark.args[0] in self._names]


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for head in ("what", "tried", "tests", "failed"):
        table.add_column(head, justify="left" if head == "what" else "right", no_wrap=True)
    table.add_column("how")
    for row in rows:
        failed = "" if not row["failed"] else str(row["failed"])
        table.add_row(row["what"], f"{row['tried']:,}", str(row["tests"]), failed, row["how"])
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)


def page(rows: list[dict[str, Any]], more: str) -> str:
    made = f"{datetime.datetime.now(datetime.UTC):%d %B %Y}"
    where = f"Python {platform.python_version()}, Linux {platform.release().split('-')[0]}"
    lines = [
        "# Proof",
        "",
        "What tries to break the promises of the README, and how often it tried, all of it in vain.",
        f'Written by `make proof ARGS="--write{more}"` on {made} with {where}.',
        "`make test` runs the same tests.",
        "",
        "| what | tried | tests | how |",
        "|---|---:|---:|---|",
    ]
    lines += [f"| {row['what']} | {row['tried']:,} | {row['tests']} | {row['how']} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

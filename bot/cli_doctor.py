"""`threadsmith doctor`: what works here, what does not, and what to type."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bot.cli_common import CONFIG, JSON, print_table

if TYPE_CHECKING:
    from bot.doctor import Report


@click.command()
@CONFIG
@JSON
@click.option("--verbose", "-v", is_flag=True, help="Log to the terminal what is tried.")
@click.pass_context
def doctor(context: click.Context, config: Path, as_json: bool, verbose: bool) -> int:
    """Try each outside service and what is needed of this machine, and print the fix for what is broken."""
    import asyncio

    from bot.config import load
    from bot.doctor import examine
    from bot.plugins import Plugins

    logging.basicConfig(level=logging.INFO, handlers=None if verbose else [logging.NullHandler()])
    plugins = Plugins()
    asked_for = context.get_parameter_source("config") is not ParameterSource.DEFAULT
    settings = load(config, plugins) if asked_for or config.exists() else None
    report = asyncio.run(examine(settings, plugins))
    if as_json:
        click.echo(json.dumps(_as_json(report)))
    else:
        _show(report, None if settings else config)
    return 0 if report.ok else 1


def _as_json(report: Report) -> dict[str, Any]:
    checks = [
        {"what": each.what, "verdict": str(each.verdict), "found": each.found, "fix": each.fix}
        for each in report.findings
    ]
    bounds = [
        {"of": of, "what": each.what, "value": each.value, "hard": each.hard, "how": each.how}
        for of, listed in report.bounds.items()
        for each in listed
    ]
    return {"ok": report.ok, "checks": checks, "bounds": bounds}


def _show(report: Report, missing: Path | None) -> None:
    from bot.bounds import strength

    print_table(
        ["tried", "is", "found"],
        [[each.what, str(each.verdict), each.found] for each in report.findings],
    )
    for each in report.findings:
        if each.fix:
            click.echo(f"\n{each.what}, {each.verdict}:\n  {each.fix}")
    if missing is not None:
        click.echo(f"\nThere is no {missing} here, so no outside service was tried.")
    click.echo()
    rows = [
        [of, bound.what, bound.value, strength(bound), bound.how]
        for of, listed in report.bounds.items()
        for bound in listed
    ]
    print_table(["bounds of", "what", "at most", "is", "how"], rows)

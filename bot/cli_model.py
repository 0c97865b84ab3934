"""`threadsmith demo --agent …`: an agent with a model of one's own, from the command line to settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

SCRIPTED = "scripted"
OLLAMA = "http://127.0.0.1:11434/v1"
_OWN = frozenset({"127.0.0.1", "localhost", "::1"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

F = TypeVar("F", bound=Callable[..., Any])


def model_options(function: F) -> F:
    """The options of `demo` about the agent and its model."""
    for option in reversed(
        (
            click.option(
                "--agent", type=click.Choice([SCRIPTED, "opencode"]), default=SCRIPTED, show_default=True,
                help="Who works. opencode needs --model.",
            ),
            click.option("--model", "name", default=None, help="The model, as its provider calls it."),
            click.option(
                "--model-url", "url", default=OLLAMA, show_default=True, help="Where the model is.",
            ),
            click.option(
                "--model-kind", "kind", type=click.Choice(["openai", "anthropic"]), default="openai",
                show_default=True, help="How it is spoken to.",
            ),
            click.option("--key-env", default=None, help="The environment variable with your key."),
            click.option(
                "--usd", type=(click.FloatRange(min=0), click.FloatRange(min=0)), default=None,
                help="Its price: US dollars per million tokens read, and written. 0 0 on this machine.",
            ),
        )
    ):  # fmt: skip
        function = option(function)
    return function


def agent_table(
    agent: str, *, name: str | None, url: str, kind: str, key_env: str | None, usd: tuple[float, float] | None
) -> dict[str, Any] | None:
    """The settings that these options mean; None for the scripted agent. BadParameter for what cannot be."""
    if agent == SCRIPTED:
        if name is not None or key_env is not None:
            raise click.UsageError("The scripted agent uses no model: add --agent opencode.")
        return None
    if name is None:
        raise click.UsageError(f"--agent {agent} needs a model: --model NAME, as its provider calls it.")
    if key_env is not None and not _VARIABLE.fullmatch(key_env):
        raise click.UsageError("--key-env wants the name of an environment variable, never the key itself.")
    if usd is None:
        if urlsplit(url).hostname not in _OWN:
            raise click.UsageError(
                "A model that is not on this machine costs money: say how much with --usd IN OUT, per "
                "million tokens read and written in dollars, so that budgets can hold."
            )
        usd = (0.0, 0.0)
    route: dict[str, Any] = {"name": "model", "kind": kind, "upstream": url}
    if kind == "anthropic":
        route |= {"header": "x-api-key", "format": "{}"}
    if key_env is not None:
        route["secret"] = {"env": key_env}
    model = {"name": name, "route": "model", "input_usd": usd[0], "output_usd": usd[1]}
    return {"gateway": {"routes": [route], "models": [model]}, "agents": {"default": agent}}

"""opencode: where its program comes from, and how it is started so that nothing but our models is used."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bot import AGENT_FOLDER, AgentRecipe, Model, ModelProtocol
from plugins.agents.install import NPM_CI, Program
from plugins.agents.plain import NO_KEY
from plugins.agents.recipes import chosen, filled, mcp_servers, values_of
from plugins.agents.settings import OPENCODE, Choices

VERSION = "1.18.33"
CPU = Path("/proc/cpuinfo")
# Of its packages for Linux, by what follows "opencode-linux-". Without one npm takes the registry's word.
_INTEGRITY = {
    "x64": "sha512-q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw==",
    "x64-baseline": (
        "sha512-1KQGBiiDDeL/VHHbHkOvvFo8Jr97WT5+C1tear+p7IcDTnXgVHXqIjU4O4jM4hMQHzykTP2i884FCnW5LDa+zCA=="
    ),
}
# Inside the binary; any other package would be fetched at run time.
_PACKAGES = {ModelProtocol.OPENAI: "@ai-sdk/openai-compatible", ModelProtocol.ANTHROPIC: "@ai-sdk/anthropic"}
_ENVIRONMENT = {
    f"OPENCODE_{name}": "1"
    for name in (
        "DISABLE_MODELS_FETCH",
        "DISABLE_AUTOUPDATE",
        "DISABLE_LSP_DOWNLOAD",
        "DISABLE_DEFAULT_PLUGINS",
        "DISABLE_SHARE",
        "DISABLE_CLAUDE_CODE",
        "DISABLE_EXTERNAL_SKILLS",
        "PURE",
    )
}
# With these in place it sees no need to fetch the package that plugins are written with.
_CONFIG = ".config/opencode"
_PLUGIN = {"dependencies": {"@opencode-ai/plugin": VERSION}}
_SEED = {
    f"{_CONFIG}/package.json": _PLUGIN,
    f"{_CONFIG}/package-lock.json": {"lockfileVersion": 3, "packages": {"": _PLUGIN}},
    f"{_CONFIG}/node_modules/.package-lock.json": {"lockfileVersion": 3, "packages": {}},
}
# It serves itself on loopback, where whatever else runs in the sandbox could talk to it.
_START = (
    "OPENCODE_SERVER_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n') || exit 1; "
    'export OPENCODE_SERVER_PASSWORD; exec "$0" acp'
)


@cache
def machine() -> str:
    """Which of its packages runs here."""
    arm = platform.machine() in ("aarch64", "arm64")
    kind = "arm64" if arm else "x64" if _has_avx2() else "x64-baseline"
    return kind if platform.libc_ver()[0] == "glibc" else f"{kind}-musl"


def _has_avx2() -> bool:
    return "avx2" in CPU.read_text().split()


def program(folder: Path) -> Program:
    """What is installed for it, pinned, below `folder`."""
    package = f"opencode-linux-{machine()}"
    wanted = {"name": "opencode", "private": True, "dependencies": {package: VERSION}}
    exact = {"version": VERSION} | ({"integrity": pin} if (pin := _INTEGRITY.get(machine())) else {})
    lock = {
        "name": "opencode",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": wanted, f"node_modules/{package}": exact},
    }
    return Program(
        name=OPENCODE,
        folder=folder / f"opencode-{VERSION}-{machine()}",
        command=NPM_CI,
        files={"package.json": json.dumps(wanted), "package-lock.json": json.dumps(lock)},
    )


def opencode_recipe(settings: Choices, models: Sequence[Model], folder: Path) -> AgentRecipe:
    """ConfigError when its model is not there."""
    model = chosen(OPENCODE, settings, models, needed=True)
    assert model is not None
    config, values = json.dumps(_config(settings, models, model)), values_of(model)
    return AgentRecipe(
        name=OPENCODE,
        description=f"opencode {VERSION}, with {model.name} unless told otherwise.",
        command=("sh", "-c", _START, f"{AGENT_FOLDER}/node_modules/opencode-linux-{machine()}/bin/opencode"),
        env=_ENVIRONMENT | {"OPENCODE_CONFIG_CONTENT": config},
        files={path: json.dumps(content).encode() for path, content in _SEED.items()},
        folder=program(folder).folder,
        options=filled(settings.options, values),
        mode=settings.mode,
        model=_id(model),
        permissions=settings.permissions,
        mcp_servers=mcp_servers(settings.mcp, values),
    )


def _config(settings: Choices, models: Sequence[Model], model: Model) -> dict[str, Any]:
    """Its configuration; it wins over whatever a repository brings."""
    routes = {each.route: each for each in models}
    leave = settings.permissions
    return {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "lsp": False,
        "formatter": False,
        "plugin": [],
        "model": _id(model),
        "small_model": _id(model),
        "enabled_providers": list(routes),
        "provider": {route: _provider(each, models) for route, each in routes.items()},
        "permission": {
            "edit": leave,
            "bash": leave,
            "webfetch": "deny",
            "websearch": "deny",
            "external_directory": "deny",
            "doom_loop": "deny",
        },
    }


def _provider(route: Model, models: Sequence[Model]) -> dict[str, Any]:
    below = "/v1" if route.protocol is ModelProtocol.ANTHROPIC else ""
    return {
        "npm": _PACKAGES[route.protocol],
        "name": route.route,
        "options": {"baseURL": route.url + below, "apiKey": NO_KEY},
        "models": {each.name: _model(each) for each in models if each.route == route.route},
    }


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "tool_call": True,
        "limit": {"context": model.context_tokens, "output": model.output_tokens},
        "cost": {"input": model.input_usd, "output": model.output_usd},
    }


def _id(model: Model) -> str:
    return f"{model.route}/{model.name}"

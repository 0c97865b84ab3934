"""Where plugins are found: the built-in list, the entry points, the configured folder. All are alike."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from bot.config_models import CoreSettings
from bot.errors import ConfigError, Mistake
from bot.hooks import PROJECT, Specs

BUILT_IN = ("repo_classifier", "sandbox_runner", "agents", "pr_creator")
"""The features that ship with the bot, by name; each is the package `plugins.<name>`."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
_RESERVED = frozenset(CoreSettings.model_fields)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that was found and not yet loaded. `load` runs its code, so it may raise anything."""

    name: str
    where: str
    version: str
    load: Callable[[], Any]

    @property
    def unfit(self) -> str:
        """Why a plugin cannot have this name; "" when it can."""
        if not _NAME.fullmatch(self.name):
            return "its name must be a lower-case word such as my_plugin"
        if self.name in _RESERVED:
            return f"[{self.name}] is a section of the bot's own settings; rename it"
        return ""


def candidates(folder: Path | None, built_in: tuple[str, ...] = BUILT_IN) -> Iterator[Candidate]:
    """Every plugin there is, in the order of registration; later ones are asked first."""
    ours = version(PROJECT)
    for name in built_in:
        yield Candidate(name, "built in", ours, partial(_imported, f"plugins.{name}"))
    for point in sorted(entry_points(group=PROJECT), key=lambda each: each.name):
        yield _installed(point)
    if folder is not None:
        yield from _dropped(folder)


def _imported(module: str) -> Any:
    return plugin_of(importlib.import_module(module))


def _installed(point: EntryPoint) -> Candidate:
    release = point.dist.version if point.dist is not None else ""
    name = point.dist.name if point.dist is not None else point.value
    return Candidate(point.name, f"package {name}", release, lambda: plugin_of(point.load()))


def _dropped(folder: Path) -> Iterator[Candidate]:
    if mistake := _folder_mistake(folder):
        raise ConfigError([mistake], str(folder))
    for path in sorted(folder.iterdir()):
        source = path / "__init__.py" if path.is_dir() else path
        if source.suffix == ".py" and source.is_file() and not _ignored(path.name):
            yield Candidate(path.stem, str(path), "", partial(_loaded, path.stem, source))


def _ignored(name: str) -> bool:
    """A plugin's test may lie beside it."""
    return name.startswith(("_", ".", "test_")) or name == "conftest.py"


def _folder_mistake(folder: Path) -> Mistake | None:
    try:
        mode = folder.stat().st_mode
    except OSError as error:
        got = (error.strerror or "unreadable").lower()
        return Mistake("plugins.folder", f"a folder {folder}", got, f"Make it: mkdir -p {folder}")
    if not stat.S_ISDIR(mode):
        return Mistake("plugins.folder", f"a folder {folder}", "something else", "Name a folder.")
    if mode & stat.S_IWOTH:
        expected = f"a folder {folder} that only you can write"
        return Mistake("plugins.folder", expected, "one that everyone can write", f"chmod o-w {folder}")
    return None


def _loaded(name: str, source: Path) -> Any:
    """Run a file or package by its path; its folder never comes onto sys.path."""
    qualified = f"threadsmith_plugin_{name}"
    inner = [str(source.parent)] if source.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(qualified, source, submodule_search_locations=inner)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module  # dataclasses and pydantic look their module up there
    try:
        spec.loader.exec_module(module)
        return plugin_of(module)
    except BaseException:
        sys.modules.pop(qualified, None)
        raise


def plugin_of(found: Any) -> Any:
    """What is registered: an instance of a module's class `Plugin`, or the module where it has none."""
    if isinstance(found, ModuleType):
        found = getattr(found, "Plugin", found)
    return found() if isinstance(found, type) else found


def misspelt(manager: pluggy.PluginManager, plugin: Any, candidate: Candidate) -> Iterator[Mistake]:
    """Every hook of a plugin that does not exist, or takes what it is not offered."""
    hooks = [name for name in dir(Specs) if manager.parse_hookspec_opts(Specs, name) is not None]
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            continue
        hook = options.get("specname") or name
        key = f"{candidate.name}.{name}"
        if hook not in hooks:
            if options.get("optionalhook"):
                continue
            close = difflib.get_close_matches(hook, hooks, n=1)
            fix = f"Did you mean `{close[0]}`?" if close else f"There are: {', '.join(hooks)}."
            yield Mistake(key, "a hook that exists", f"`{hook}` ({candidate.where})", fix)
        elif options.get("wrapper") or options.get("hookwrapper"):
            yield Mistake(key, "a plain hook", "a wrapper", "Wrappers are not offered; answer the hook.")
        else:
            yield from _wrong_arguments(getattr(plugin, name), hook, key)


def _wrong_arguments(function: Any, hook: str, key: str) -> Iterator[Mistake]:
    offered = inspect.signature(getattr(Specs, hook)).parameters.keys() - {"self"}
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in offered and parameter.default is inspect.Parameter.empty:
            fix = f"It is offered: {', '.join(sorted(offered)) or 'nothing'}."
            yield Mistake(key, "arguments that the hook is offered", f"`{name}`", fix)

"""Load plugins, call plugins: await, time limit, isolation, blame.

pluggy keeps the registry and the order; the calls are ours, because hooks may be async, because one
plugin's failure must not be another's, and because every answer must carry the name of who gave it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy
from pydantic import BaseModel

from bot.config_models import PluginSettings, Schemas
from bot.domain import Model, Models, Repository
from bot.errors import ConfigError, Mistake, PluginError, UserError
from bot.hooks import PROJECT, PluginContext, Specs
from bot.plugin_loading import BUILT_IN, Candidate, candidates, misspelt

log = logging.getLogger(__name__)

TIME_LIMIT_SECONDS = 10.0
KEPT_FAILURES = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What one plugin answered. With an `error` (PluginError or UserError) there is no `value`."""

    plugin: str
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be loaded; the bot goes on without it."""

    name: str
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call, for `/ready` and the log's reader. `at` is in seconds since the epoch."""

    plugin: str
    hook: str
    incident: str
    at: float
    kind: str


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One line of the `plugins` command. `problem` is "" for a plugin that works."""

    name: str
    where: str
    version: str
    hooks: tuple[str, ...]
    problem: str


class Plugins:
    """Every plugin of one bot, and the only way to call their hooks."""

    def __init__(self, built_in: tuple[str, ...] = BUILT_IN) -> None:
        self._built_in = built_in
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(Specs)
        self._found: dict[str, Candidate] = {}
        self._disabled: dict[str, Candidate] = {}
        self._lost_guards: set[str] = set()
        self._left: set[asyncio.Task[Any]] = set()
        self.broken: list[BrokenPlugin] = []
        self.mistakes: list[Mistake] = []
        self.failures: deque[Failure] = deque(maxlen=KEPT_FAILURES)

    # -- loading -----------------------------------------------------------------------------------

    def discover(self, settings: PluginSettings) -> None:
        """Find and load every plugin, each alone. Call it once; `schemas` does so by itself.

        What crashes is skipped and listed in `broken`; what has a misspelt hook goes into `mistakes`.
        """
        try:
            for candidate in candidates(settings.folder, self._built_in):
                if candidate.name in settings.disabled:
                    self._disabled[candidate.name] = candidate
                else:
                    self._load(candidate)
        except ConfigError as error:
            self.mistakes += error.mistakes

    def _load(self, candidate: Candidate) -> None:
        reason = candidate.unfit
        if candidate.name in self._found:
            reason = f"{self._found[candidate.name].where} has the same name; rename one"
        if reason:
            return self._skip(candidate, reason)
        try:
            plugin = candidate.load()
        except (Exception, SystemExit) as error:
            log.exception("plugin %s (%s) cannot be loaded", candidate.name, candidate.where)
            return self._skip(candidate, f"{type(error).__name__} while loading, see the log")
        return self.register(plugin, candidate)

    def register(self, plugin: Any, candidate: Candidate | str) -> None:
        """Add a plugin that is already an object; a bare name will do for one made in a test."""
        if isinstance(candidate, str):
            candidate = Candidate(candidate, "registered by hand", "", lambda: plugin)
        found = list(misspelt(self._manager, plugin, candidate))
        if found:
            self.mistakes += found
            return self._skip(candidate, "; ".join(f"{each.key}: {each.fix}" for each in found))
        self._manager.register(plugin, candidate.name)
        self._found[candidate.name] = candidate
        if not self._hooks(candidate.name):
            self._drop(candidate.name, "it answers no hook; is `@hookimpl` missing?")
        return None

    def _skip(self, candidate: Candidate, reason: str) -> None:
        log.error("plugin %s (%s) is left out: %s", candidate.name, candidate.where, reason)
        self.broken.append(BrokenPlugin(candidate.name, candidate.where, reason))

    def _drop(self, name: str, reason: str) -> None:
        if "may" in self._hooks(name):
            self._lost_guards.add(name)
        self._manager.unregister(name=name)
        self._skip(self._found.pop(name), reason)

    def check_pending(self) -> None:
        """ConfigError when a plugin implements a hook that does not exist or takes what it is not offered."""
        if self.mistakes:
            raise ConfigError(self.mistakes, "plugins")

    def schemas(self, settings: PluginSettings) -> Schemas:
        """Discover, and say what each plugin expects of its section of config.toml."""
        self.discover(settings)
        models: dict[str, type[BaseModel]] = {}
        for answer in self.call_sync("config_schema"):
            if answer.error is not None:
                self._drop(answer.plugin, f"config_schema failed: {answer.error}")
            elif isinstance(answer.value, type) and issubclass(answer.value, BaseModel):
                models[answer.plugin] = answer.value
            elif answer.value is not None:
                self._drop(answer.plugin, "config_schema returned no pydantic model")
        without = frozenset(self._found.keys() - models.keys())
        unread = {each.name for each in self.broken} | self._disabled.keys()
        return Schemas(models, without, frozenset(unread - self._found.keys()), tuple(self.mistakes))

    async def setup(
        self,
        sections: Mapping[str, Any],
        repositories: Sequence[Repository],
        data: Path,
        epoch: int,
        models: Sequence[Model] = (),
        ask: Models | None = None,
    ) -> None:
        """Tell each plugin of its settings; one that fails is left out. ConfigErrors are raised, all at once.

        `data` is the bot's data folder; a plugin that asks for its setup gets `plugins/<name>` in it.
        """

        def arguments(name: str) -> dict[str, Any]:
            own = data / "plugins" / name
            own.mkdir(parents=True, exist_ok=True, mode=0o700)
            return {"context": PluginContext(sections.get(name), repositories, own, epoch, models, ask)}

        mistakes: list[Mistake] = []
        for impl in reversed(self._impls("setup")):  # in the order they were registered
            answer = await self._ask(impl, "setup", arguments, TIME_LIMIT_SECONDS)
            if isinstance(answer.error, ConfigError):
                mistakes += answer.error.mistakes
            elif answer.error is not None:
                self._drop(answer.plugin, f"setup failed: {answer.error}")
        if mistakes:
            raise ConfigError(mistakes, "plugins")

    # -- calling -----------------------------------------------------------------------------------

    async def call(
        self, hook: str, *, limit: float | None = TIME_LIMIT_SECONDS, **arguments: Any
    ) -> list[Answer]:
        """Ask every plugin, one after the other; never raises for a plugin's sake.

        `limit` is in seconds and for each plugin; None waits for ever.
        """
        given = self._checked(hook, arguments)
        return [await self._ask(impl, hook, given, limit) for impl in self._impls(hook)]

    async def gather(
        self, hook: str, *, limit: float | None = TIME_LIMIT_SECONDS, **arguments: Any
    ) -> list[Answer]:
        """As `call`, all plugins at the same time; the answers come in the same order."""
        given = self._checked(hook, arguments)
        return await asyncio.gather(*(self._ask(impl, hook, given, limit) for impl in self._impls(hook)))

    async def first(
        self, hook: str, *, limit: float | None = TIME_LIMIT_SECONDS, **arguments: Any
    ) -> Any | None:
        """The first answer that is not None, last registered first.

        A plugin's UserError is an answer and is raised. A plugin that breaks is passed over; but when nobody
        else answers, its PluginError is raised: an error is not an absence.
        """
        given = self._checked(hook, arguments)
        broke: PluginError | None = None
        for impl in self._impls(hook):
            answer = await self._ask(impl, hook, given, limit)
            if isinstance(answer.error, PluginError):
                broke = broke or answer.error
            elif answer.error is not None:
                raise answer.error
            elif answer.value is not None:
                return answer.value
        if broke is not None:
            raise broke
        return None

    async def ask_one(
        self, plugin: str, hook: str, *, limit: float | None = TIME_LIMIT_SECONDS, **arguments: Any
    ) -> Answer:
        """Ask a single plugin, one of `implementers(hook)`; LookupError when it is not."""
        given = self._checked(hook, arguments)
        for impl in self._impls(hook):
            if impl.plugin_name == plugin:
                return await self._ask(impl, hook, given, limit)
        raise LookupError(f"plugin {plugin} has no {hook}")

    def implementers(self, hook: str) -> list[str]:
        """The names of the plugins that answer a hook, in the order they are asked."""
        return [impl.plugin_name for impl in self._impls(hook)]

    def call_sync(self, hook: str, **arguments: Any) -> list[Answer]:
        """As `call`, for start-up, where no loop runs: an async hook may be used if it waits for nothing."""
        given = self._checked(hook, arguments)
        answers = []
        for impl in self._impls(hook):
            asking = self._ask(impl, hook, given, None)
            try:
                asking.send(None)
            except StopIteration as done:
                answers.append(done.value)
            else:
                asking.close()
                answers.append(self._blame(impl.plugin_name, hook, RuntimeError("it waits, at start-up")))
        return answers

    async def close(self) -> int:
        """Wait a moment for calls that were given up; returns how many still run."""
        if self._left:
            await asyncio.wait(self._left, timeout=1)
        return len(self._left)

    def _impls(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()[::-1]  # pluggy keeps them last-called first

    def _checked(self, hook: str, arguments: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
        wanted = inspect.signature(getattr(Specs, hook)).parameters.keys() - {"self"}
        if wanted != arguments.keys():
            raise TypeError(f"{hook} takes {sorted(wanted)}, not {sorted(arguments)}")
        return lambda plugin: arguments

    async def _ask(
        self,
        impl: pluggy.HookImpl,
        hook: str,
        arguments: Callable[[str], dict[str, Any]],
        limit: float | None,
    ) -> Answer:
        name = impl.plugin_name
        try:
            offered = arguments(name)
            value = impl.function(**{each: offered[each] for each in _taken(impl) if each in offered})
            if inspect.isawaitable(value):
                value = await (_awaited(value) if limit is None else self._limited(_awaited(value), limit))
        except UserError as error:
            return Answer(name, error=error)
        except asyncio.CancelledError as error:
            if _cancelled_from_outside():
                raise
            return self._blame(name, hook, error)
        except (Exception, SystemExit) as error:
            return self._blame(name, hook, error)
        return Answer(name, value)

    async def _limited(self, work: Coroutine[Any, Any, Any], limit: float) -> Any:
        """Await in a task of its own, so that a plugin which ignores its cancellation is left behind."""
        task = asyncio.create_task(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit)
            if not done:
                raise TimeoutError(f"no answer within {limit:g} s")
            return task.result()
        finally:
            if not task.done():
                self._left.add(task)
                task.add_done_callback(self._forget)
                task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # seen, or asyncio would complain that nobody looked

    def _blame(self, plugin: str, hook: str, error: BaseException) -> Answer:
        incident = secrets.token_hex(4)
        log.error("plugin %s failed in %s (incident %s)", plugin, hook, incident, exc_info=error)
        self.failures.append(Failure(plugin, hook, incident, time.time(), type(error).__name__))
        blame = PluginError(plugin, hook, incident)
        blame.__cause__ = error
        return Answer(plugin, error=blame)

    # -- looking -----------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The plugins that take part, in the order of registration."""
        return list(self._found)

    def missing_guards(self, required: Iterable[str]) -> list[str]:
        """Plugins whose word on permissions is needed and cannot be had: nothing may be allowed."""
        return sorted(self._lost_guards | (set(required) - self._found.keys()))

    def describe(self) -> list[PluginInfo]:
        """Every plugin that was found, those left out included."""
        working = [
            PluginInfo(each.name, each.where, each.version, self._hooks(each.name), "")
            for each in self._found.values()
        ]
        broken = [PluginInfo(each.name, each.where, "", (), each.reason) for each in self.broken]
        off = [
            PluginInfo(each.name, each.where, each.version, (), "disabled")
            for each in self._disabled.values()
        ]
        return [*working, *broken, *off]

    def _hooks(self, name: str) -> tuple[str, ...]:
        callers = self._manager.get_hookcallers(self._manager.get_plugin(name)) or []
        return tuple(sorted(each.name for each in callers))


async def _awaited(value: Any) -> Any:
    try:
        return await value
    except SystemExit as error:  # would end the whole loop from within a task
        raise RuntimeError("it tried to end the bot") from error


def _taken(impl: pluggy.HookImpl) -> tuple[str, ...]:
    return (*impl.argnames, *impl.kwargnames)


def _cancelled_from_outside() -> bool:
    """Was the asking task cancelled, or did the plugin only raise the same exception?"""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop, hence nobody who could cancel
        return False
    return task is not None and task.cancelling() > 0

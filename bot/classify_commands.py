"""What `threadsmith classify` asks: of the running bot, or of a configuration alone."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bot.admin import Command
from bot.config import Settings
from bot.domain import Model, Models, Person, ThreadMessage
from bot.gateway import Gateway
from bot.permissions import Permissions
from bot.plugins import Plugins
from bot.sessions.explaining import as_json, explain, question_of
from storage import DataFolder, Executor, StateFile

NOBODY = "somebody"  # whom a message is from when nobody is named


class Classifying(Protocol):
    """What an explanation needs; a House is one."""

    @property
    def settings(self) -> Settings: ...
    @property
    def plugins(self) -> Plugins: ...
    @property
    def permissions(self) -> Permissions: ...


class Labelled(Protocol):
    """What the export of labels needs; a House is one."""

    @property
    def state(self) -> StateFile: ...


class Whole(Classifying, Labelled, Protocol):
    pass


@dataclass(frozen=True, slots=True)
class Configured:
    """The plugins of a configuration, set up, with no bot around them."""

    settings: Settings
    plugins: Plugins
    permissions: Permissions


@dataclass(frozen=True, slots=True)
class OwnState:
    state: StateFile


def classify_commands(house: Whole) -> Mapping[str, Command]:
    """The commands by name; each takes and gives JSON."""

    async def explained(arguments: dict[str, Any]) -> Any:
        return await explain_message(house, arguments)

    async def labels(arguments: dict[str, Any]) -> Any:
        return {"labels": await house.state.labels()}

    return {"classify.explain": explained, "classify.labels": labels}


async def explain_message(of: Classifying, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """How the repository of a message is chosen. A named `user` is looked at for what they may use."""
    user = str(arguments.get("user") or NOBODY)
    author = Person(user, "", user)
    usable = list(of.settings.repositories)
    if user != NOBODY:
        usable = await of.permissions.repositories_for(author, usable)
    channel = str(arguments.get("channel") or "").removeprefix("#")
    thread = [ThreadMessage(name, name, text, "") for name, text in arguments.get("thread") or ()]
    question = await question_of(
        of.plugins,
        str(arguments["text"]),
        author,
        usable,
        channel_id=channel,
        channel_name=channel,
        thread=thread,
    )
    return as_json(await explain(of.plugins, question, bool(arguments.get("model"))))


@asynccontextmanager
async def configured(
    settings: Settings, plugins: Plugins, models: Sequence[Model] = (), ask: Models | None = None
) -> AsyncIterator[Configured]:
    """Without any file of the bot, so that it works beside a running one."""
    with tempfile.TemporaryDirectory(prefix="threadsmith-classify-") as folder:
        await plugins.setup(settings.sections, settings.repositories, Path(folder), 0, models, ask)
        try:
            yield Configured(settings, plugins, Permissions(plugins, settings.permissions))
        finally:
            await plugins.close()


@asynccontextmanager
async def with_model(settings: Settings, plugins: Plugins) -> AsyncIterator[Configured]:
    """With the model, whose budgets are in `state.db`. StorageError when a bot has it."""
    async with own_state(DataFolder(settings.data)) as files:
        await files.state.next_epoch()
        gateway = Gateway(settings.gateway, settings.budgets, files.state)
        try:
            async with configured(settings, plugins, gateway.models, gateway.ask) as found:
                yield found
        finally:
            await gateway.close()


@asynccontextmanager
async def own_state(folder: DataFolder) -> AsyncIterator[OwnState]:
    """Take the lock and open `state.db`. StorageError when a bot has it."""
    async with AsyncExitStack() as stack:
        folder.acquire()
        stack.callback(folder.release)
        executor = Executor()
        stack.callback(executor.close)
        state = await StateFile.open(folder.state_path, executor)
        stack.push_async_callback(state.close)
        yield OwnState(state)

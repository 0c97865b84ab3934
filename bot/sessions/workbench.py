"""What a session works with: its leased sandbox, the repository in it, and the agent running there.

Kept warm between turns; whatever breaks is thrown away and made anew by the next turn.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.acp.abilities import Abilities
from bot.acp.client import AgentClient, OnQuiet
from bot.acp.inbox import OnUpdate
from bot.acp.questions import Answer, Question, Questions
from bot.acp.requests import Ask, PermissionAsk, policy_of
from bot.acp.turn import AgentLimits, StopReason
from bot.domain import (
    AGENT_FOLDER,
    GATEWAY_URL,
    AgentRecipe,
    CommitSha,
    Egress,
    EventType,
    Lease,
    LeaseRequest,
    Repository,
    Sandbox,
    SandboxId,
    SessionId,
)
from bot.errors import SandboxError, SandboxGone, SandboxUnreachable, UserError
from bot.git import Mirror, sandbox_side
from bot.sandbox_io import check, output, write_files
from bot.sessions.house import House
from bot.sessions.kept import Kept
from bot.sessions.own_server import SCRIPT, SCRIPT_PATH, own_server
from storage import NewEvent, StorageError

log = logging.getLogger(__name__)

_GIT_SECONDS = 600.0
_BUNDLE_SECONDS = 300.0
_NOT_BACK = "Work that an earlier turn had kept could not be brought back"
_COLLECTING = "hand out its work"
# The gateway for all who ask for a proxy; what is in the sandbox itself, the gateway included, needs none.
_OWN = "127.0.0.1,localhost,::1"
_PROXY = {name: GATEWAY_URL for each in ("http_proxy", "https_proxy") for name in (each, each.upper())}
_PROXY |= {"no_proxy": _OWN, "NO_PROXY": _OWN}
_PROXY |= {"NO_UPDATE_NOTIFIER": "1", "npm_config_update_notifier": "false"}  # else `npm test` looks for news


class Workbench:
    """One session's. `base` is the commit the sandbox's work builds on, None while nothing is there."""

    def __init__(self, house: House, session: SessionId) -> None:
        self._house = house
        self._session = session
        self._lease: Lease | None = None
        self._made_for: tuple[str, Path | None] | None = None  # a repository, and an agent's folder
        self._agent: AgentClient | None = None
        self._inside: set[CommitSha] = set()
        self._resumable: tuple[str, str] | None = None  # an agent's name, and its session in this sandbox
        self.base: CommitSha | None = None
        self.ask: Ask | None = None  # puts an agent's permissions to people; without it they are denied
        self.questions: Questions | None = None  # puts its forms to people
        self.on_quiet: OnQuiet | None = None
        self.waiting: Callable[[], bool] = bool  # whether people are waited for on another way than those

    @property
    def leased(self) -> bool:
        return self._lease is not None

    # -- the sandbox -----------------------------------------------------------------------------

    async def open(
        self, repository: Repository, recipe: AgentRecipe, progress: Callable[[str], Awaitable[None]]
    ) -> None:
        """Have a living sandbox for this repository, with the program of this agent in it."""
        wanted = (repository.name, recipe.folder)
        if self._lease is not None and self._made_for == wanted and await self._alive(self._lease):
            return
        await self.release()
        folders = {} if recipe.folder is None else {AGENT_FOLDER: _installed(recipe, recipe.folder)}
        request = LeaseRequest(self._session, repository, self._house.epoch, None, progress, folders)
        lease = await self._house.plugins.first("lease_sandbox", limit=None, request=request)
        if lease is None:
            raise SandboxError(
                "No plugin offers a sandbox. Enable `sandbox_runner`, or one like it, in the settings."
            )
        self._lease, self._made_for = lease, wanted
        await self._note_lease(lease)

    async def release(self) -> None:
        """Give the sandbox back; safe to call at any time."""
        agent, self._agent = self._agent, None
        lease, self._lease = self._lease, None
        self._made_for, self.base, self._resumable = None, None, None
        self._inside.clear()
        if agent is not None:
            await agent.close(grace_seconds=0)
        if lease is not None:
            with contextlib.suppress(SandboxError):
                await lease.release()
            await self._note_release(lease.sandbox.id)

    async def _note_lease(self, lease: Lease) -> None:
        sandbox = lease.sandbox
        row = {"sandbox": sandbox.id, "provider": sandbox.provider, "epoch": self._house.epoch}
        data = {"sandbox": sandbox.id, "provider": sandbox.provider, "cold": lease.cold}
        async with self._house.store.use(self._session) as file:
            await file.set_lease(row)
            await file.record([NewEvent(EventType.SANDBOX_LEASED, data)])

    async def _note_release(self, sandbox: SandboxId) -> None:
        """As far as the file takes it: the sandbox is gone, and the next boot clears a note that stays."""
        try:
            async with self._house.store.use(self._session) as file:
                await file.set_lease(None)
                await file.record([NewEvent(EventType.SANDBOX_RELEASED, {"sandbox": sandbox})])
        except StorageError:
            log.exception("session %s: cannot note that its sandbox was given back", self._session)

    async def _alive(self, lease: Lease) -> bool:
        try:
            return await lease.sandbox.alive()
        except SandboxUnreachable:
            return False  # it is released, and so ended, before another one is leased

    # -- the repository in it --------------------------------------------------------------------

    async def bring(self, mirror: Mirror, target: CommitSha, last: CommitSha | None, kept: Kept) -> list[str]:
        """Have the repository at `target`, with all work that is not committed yet on top of it.

        `last` is the last commit the host made of this sandbox's work. Returns notes for the thread.
        """
        if self.base is None:
            return await self._unpack(mirror, target, kept)
        return await self._move(mirror, target, last)

    async def _unpack(self, mirror: Mirror, target: CommitSha, kept: Kept) -> list[str]:
        saved = kept.base
        start = target if saved is None or not await mirror.contains(saved) else saved
        sandbox = self._sandbox
        clone = sandbox_side.clone(sandbox.workspace)
        stream = mirror.bundle(start)
        await check(sandbox, clone, "unpack the repository", stdin=stream, timeout_seconds=_GIT_SECONDS)
        self._inside.add(start)
        if start == saved and not await self._restored(kept):
            return [*await self._unpack(mirror, target, kept), f"{_NOT_BACK}: its file is damaged."]
        self.base = start  # not before kept work is back, or a stop in between would lose it
        if saved is None:
            return []
        if start != saved:
            kept.drop()
            return [f"{_NOT_BACK}: its base is gone."]
        return await self._move(mirror, target, None)

    async def _restored(self, kept: Kept) -> bool:
        """Put kept work into the workspace. False: it cannot be read, and was set aside for good."""
        restore = sandbox_side.restore(self._sandbox.workspace)
        doing = "bring back kept work"
        try:
            await check(self._sandbox, restore, doing, stdin=kept.read(), timeout_seconds=_GIT_SECONDS)
        except SandboxGone:
            raise
        except SandboxError:
            log.exception("session %s: its kept work is unusable", self._session)
            kept.set_aside()
            return False
        return True

    async def _move(self, mirror: Mirror, target: CommitSha, last: CommitSha | None) -> list[str]:
        if last is not None and last not in self._inside:
            await self._sync(mirror, last, last)  # a squash-merged commit is not part of what follows it
        synced = await self._sync(mirror, target, last)
        self.base = target
        if synced.state != "conflicts":
            return []
        return [
            f"The branch moved and conflicts with work in progress in: {', '.join(synced.conflicts[:5])}."
        ]

    async def _sync(self, mirror: Mirror, target: CommitSha, last: CommitSha | None) -> sandbox_side.Synced:
        command = sandbox_side.sync(self._sandbox.workspace, target, last)
        stream = b"" if target in self._inside else mirror.bundle(target, have=sorted(self._inside))
        out = await check(
            self._sandbox, command, "move to the current commit", stdin=stream, timeout_seconds=_GIT_SECONDS
        )
        self._inside.add(target)
        return sandbox_side.parse_sync(out)

    async def collect(self, mirror: Mirror) -> AsyncGenerator[bytes, None]:
        """All the workspace holds, as a bundle on top of `base`; also when the agent broke its `.git`."""
        assert self.base is not None
        sandbox, base, gave = self._sandbox, self.base, False
        try:
            async for chunk in output(
                sandbox, sandbox_side.collect(sandbox.workspace, base), _COLLECTING, _BUNDLE_SECONDS
            ):
                gave = True
                yield chunk
            return
        except SandboxGone:
            raise
        except SandboxError:
            if gave:
                raise
        afresh = sandbox_side.collect_afresh(sandbox.workspace, base)
        async for chunk in output(sandbox, afresh, _COLLECTING, _BUNDLE_SECONDS, stdin=mirror.bundle(base)):
            yield chunk

    async def take_in(self, folder: str, files: Mapping[str, bytes]) -> str:
        """Put files into a folder below the agent's home; returns its absolute path inside."""
        place = f"{self._sandbox.home}/{folder}"
        await write_files(self._sandbox, place, files)
        return place

    # -- the agent -------------------------------------------------------------------------------

    async def agent(self, recipe: AgentRecipe, resume: str | None) -> AgentClient:
        """The agent, started and with a session open. One that ended is started anew.

        It then goes on with the session it had in this sandbox, or with `resume`, as far as it can. Of a
        session whose last prompt had no end nothing is resumed: what broke it may lie in it.
        """
        if self._agent is not None and self._agent.usable and self._agent.name == recipe.name:
            return self._agent
        await self.drop_agent()
        kept, self._resumable = self._resumable, None
        if kept is not None and kept[0] == recipe.name:
            resume = kept[1]
        client = self._client(recipe)
        sandbox = self._sandbox
        await write_files(sandbox, sandbox.home, {SCRIPT_PATH: SCRIPT, **recipe.files})
        process = await sandbox.exec(recipe.command, cwd=sandbox.workspace, env=self._environment(recipe.env))
        await client.start(process, sandbox.workspace, session_id=resume)
        self._agent = client
        return client

    def _client(self, recipe: AgentRecipe) -> AgentClient:
        limits = self._house.settings.limits
        return AgentClient(
            recipe.name,
            limits=AgentLimits(
                idle_seconds=float(limits.idle_seconds), turn_seconds=float(limits.turn_seconds)
            ),
            policy=policy_of(recipe.permissions, self._ask),
            mcp_servers=(own_server(self._sandbox.home), *recipe.mcp_servers),
            options=recipe.options,
            mode=recipe.mode,
            model=recipe.model,
            questions=None if self.questions is None else self._question,
            on_quiet=self._quiet,
            waiting=lambda: self.waiting(),
        )

    # An agent outlives the turn that started it, so whoever listens is looked up each time.

    async def _ask(self, permission: PermissionAsk) -> str | None:
        return None if self.ask is None else await self.ask(permission)

    async def _question(self, question: Question) -> Answer | None:
        return None if self.questions is None else await self.questions(question)

    async def _quiet(self, seconds: float) -> None:
        if self.on_quiet is not None:
            await self.on_quiet(seconds)

    async def prompt(self, blocks: Sequence[Mapping[str, Any]], on_update: OnUpdate) -> StopReason:
        """One turn of the agent that `agent` started."""
        if self._agent is None:
            raise UserError("The agent is gone; ask again.")
        agent, self._resumable = self._agent, None
        reason = await agent.prompt(blocks, on_update)
        self._resumable = (agent.name, agent.session_id) if self._lease is not None else None
        return reason

    @property
    def abilities(self) -> Abilities:
        """What the agent says it can take; nothing while there is none."""
        return Abilities() if self._agent is None else self._agent.abilities

    async def stop_agent(self) -> None:
        """Ask the agent to stop, and end it when it does not."""
        if self._agent is not None and not await self._agent.cancel():
            await self.drop_agent()

    async def drop_agent(self) -> None:
        """End the agent; the next turn starts a new one."""
        agent, self._agent = self._agent, None
        if agent is not None:
            await agent.close(grace_seconds=0)

    async def way_out(self, egress: Egress | None) -> None:
        """Who serves the connections of the sandbox from now on, if there is one."""
        if self._lease is not None:
            with contextlib.suppress(SandboxError):  # then it is gone, and so is whatever it would send
                await self._lease.sandbox.set_egress(egress)

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {"HOME": self._sandbox.home, **_PROXY, **extra}

    @property
    def _sandbox(self) -> Sandbox:
        if self._lease is None:
            raise UserError("The sandbox was given back while it was needed; ask again.")
        return self._lease.sandbox


def _installed(recipe: AgentRecipe, folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(
            f"The agent {recipe.name} is not installed. Whoever runs this bot types: "
            f"threadsmith agents install {recipe.name}"
        )
    return folder

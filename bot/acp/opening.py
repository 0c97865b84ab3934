"""From a started process to a session that is set as it was wished: hands shaken, opened, options set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

from acp.meta import PROTOCOL_VERSION

from bot.acp.abilities import Abilities, abilities
from bot.acp.failures import AgentRefused, no_session, not_offered, not_taken, wrong_version
from bot.acp.options import ConfigOption, OpenSession, chosen
from bot.acp.servers import entries
from bot.acp.shape import mapping, usable_id
from bot.domain import McpServer

Call = Callable[[str, str, dict[str, Any]], Awaitable[Any]]
"""A request to the agent: its method, what the agent is at meanwhile (for errors), its parameters."""

SET_MODEL = "session/set_model"  # of agents from before there were config options; the SDK dropped it


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a session is opened with, and set to once it is open."""

    mcp_servers: Sequence[McpServer] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    mode: str | None = None
    model: str | None = None


class Opening:
    """Done once per process. What it finds out is in `abilities`, `left_out`, `resumed` and the session."""

    def __init__(self, name: str, call: Call, session: OpenSession, wishes: Wishes, cwd: str) -> None:
        self.abilities = Abilities()
        self.left_out: tuple[McpServer, ...] = ()
        self.resumed = False
        self._name = name
        self._call = call
        self._session = session
        self._wishes = wishes
        self._cwd = cwd

    async def run(self, old: str | None, *, forms: bool) -> None:
        """Open a session, the `old` one if the agent still has it. `forms`: somebody can answer them."""
        await self._shake_hands(forms)
        servers, self.left_out = entries(self._wishes.mcp_servers, http=self.abilities.mcp_http)
        place = {"cwd": self._cwd, "mcpServers": servers}
        self.resumed = old is not None and await self._continue(old, place)
        if not self.resumed:
            await self._begin(place)
        await self._set_up()

    async def _shake_hands(self, forms: bool) -> None:
        able = _ABLE | ({"elicitation": {"form": {}}} if forms else {})
        hello = {"protocolVersion": PROTOCOL_VERSION, "clientCapabilities": able, "clientInfo": _ourselves()}
        reply = mapping(await self._call("initialize", "starting", hello))
        theirs = reply.get("protocolVersion")
        if theirs != PROTOCOL_VERSION:
            raise wrong_version(self._name, theirs, PROTOCOL_VERSION)
        self.abilities = abilities(reply)

    # -- the session -----------------------------------------------------------------------------

    async def _continue(self, old: str, place: Mapping[str, Any]) -> bool:
        """Resuming says nothing again, so it comes first."""
        ways = {
            "session/resume": self.abilities.resume_session,
            "session/load": self.abilities.load_session,
        }
        for method in (way for way, able in ways.items() if able):
            try:
                self._session.id = old  # its state may be told before the answer
                reply = await self._call(method, "going on with its session", {"sessionId": old, **place})
            except AgentRefused:
                self._session.id = ""
                continue
            self._session.opened(old, mapping(reply))
            return True
        return False

    async def _begin(self, place: Mapping[str, Any]) -> None:
        reply = mapping(await self._call("session/new", "opening a session", dict(place)))
        session_id = reply.get("sessionId")
        if not usable_id(session_id):
            raise no_session(self._name)
        self._session.opened(str(session_id), reply)

    # -- its settings ----------------------------------------------------------------------------

    async def _set_up(self) -> None:
        """The model first: other options may depend on it."""
        if self._wishes.model is not None:
            await self._set_model(self._wishes.model)
        if self._wishes.mode is not None:
            await self._set_mode(self._wishes.mode)
        for option_id, value in self._wishes.options.items():
            option = self._session.options.get(option_id)
            if option is None:
                raise not_offered(self._name, f"option {option_id}", self._session.options)
            await self._set(option, value, f"option {option_id}")

    async def _set_model(self, wanted: str) -> None:
        session, option = self._session, self._session.option("model")
        if option is not None:
            await self._set(option, wanted, "model")
            return
        if not session.models:
            raise not_offered(self._name, "choice of a model", session.options)
        model = chosen(session.models, wanted)
        if model != session.model:
            offers = [choice.id for choice in session.models]
            await self._try(SET_MODEL, {"modelId": model}, f"model {wanted}", offers)
            session.model_was_set(model)

    async def _set_mode(self, wanted: str) -> None:
        session, option = self._session, self._session.option("mode")
        if option is not None:
            await self._set(option, wanted, "mode")
            return
        if not session.modes:
            raise not_offered(self._name, "choice of a mode", session.options)
        mode, offers = chosen(session.modes, wanted), [choice.id for choice in session.modes]
        if mode not in offers:
            raise not_taken(self._name, f"mode {wanted}", offers)
        if mode != session.mode:
            await self._try("session/set_mode", {"modeId": mode}, f"mode {wanted}", offers)
            session.mode_was_set(mode)

    async def _set(self, option: ConfigOption, wanted: str, what: str) -> None:
        value = option.value(wanted)
        if value == option.current:
            return
        offers = [choice.id for choice in option.choices]
        if option.boolean and value not in offers:
            raise not_taken(self._name, f"{what} = {wanted}", offers)
        params = {"configId": option.id, **option.wire(value)}
        reply = await self._try("session/set_config_option", params, f"{what} = {wanted}", offers)
        self._session.was_set(option, value, mapping(reply))
        now = self._session.options.get(option.id)
        if now is not None and now.current in ("", option.current):  # taken without a word, and dropped
            raise not_taken(self._name, f"{what} = {wanted}", offers, f"it is {now.current or 'nothing'} now")

    async def _try(self, method: str, params: dict[str, Any], what: str, offers: Sequence[str]) -> Any:
        """A value that is not listed is tried as well: some agents know more than they list."""
        try:
            return await self._call(method, "being set up", {"sessionId": self._session.id, **params})
        except AgentRefused as error:
            raise not_taken(self._name, what, offers, error.said) from None


_ABLE: dict[str, Any] = {
    "fs": {"readTextFile": False, "writeTextFile": False},
    "terminal": False,
    "session": {"configOptions": {"boolean": {}}},
}


@cache
def _ourselves() -> dict[str, str]:
    return {"name": "threadsmith", "title": "Threadsmith", "version": version("threadsmith")}

"""`[agents]` in config.toml. A secret is refused wherever it could slip into a sandbox."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from bot import Section
from plugins.agents.plain import Files, Plain, Variables, refused
from plugins.agents.recipes import SCRIPTED

OPENCODE = "opencode"
BUILT_IN = (SCRIPTED, OPENCODE)

_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_ROUTE = re.compile(r"/routes/[a-z0-9][a-z0-9-]{0,31}(?:/[A-Za-z0-9._~%/-]*)?")


def _agent_name(name: str) -> str:
    if name == "custom":
        raise refused("[agents.NAME]", "[agents.custom.NAME]", "Take `custom.` out of the heading.")
    if not _AGENT.fullmatch(name) or name in BUILT_IN:
        fix = f"Use up to 32 small letters, digits, - and _; taken are {' and '.join(BUILT_IN)}."
        raise refused("a free name for an agent", "another", fix)
    return name


def _folder(folder: Path) -> Path:
    if not folder.is_absolute() and folder.parts[:1] != ("~",):
        raise refused("a whole path", "a relative one", 'Write it as in "/var/lib/threadsmith-agents".')
    return folder


def _route_path(url: str) -> str:
    if not _ROUTE.fullmatch(url) or ".." in url:
        fix = 'Add [[gateway.routes]] for it, and write it as in url = "/routes/NAME/mcp".'
        raise refused("a path of a gateway route", "another address", fix)
    return url


Name = Annotated[str, AfterValidator(_agent_name)]
ModelName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class McpSettings(Section):
    """A tool server that speaks MCP: a command in the sandbox, or a service behind the gateway."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$", description="What the agent calls it.")
    command: list[Plain] = Field([], description="A program in the sandbox that speaks MCP over stdio.")
    env: Variables = Field({}, description="Variables of its environment; never a secret.")
    url: Annotated[str, AfterValidator(_route_path)] | None = Field(
        None, description="Or a service's path at the gateway, which adds its key."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> McpSettings:
        if bool(self.command) == (self.url is not None):
            raise refused("either a command or a url", "both or none", "Leave one of the two.")
        return self


class Choices(Section):
    """What can be chosen for any agent."""

    model: ModelName | None = Field(
        None, description="One of [[gateway.models]]; the first of them when left out."
    )
    mode: str | None = Field(None, description="The mode it is put into, as it calls that itself.")
    permissions: Literal["allow", "ask", "deny"] = Field(
        "allow", description='What it asks leave for: "allow", "deny", or "ask" in the thread.'
    )
    options: dict[str, Plain] = Field(
        {}, description="Its own options, as it lists them in the Agent Client Protocol."
    )
    mcp: list[McpSettings] = Field([], description="Tool servers it is given.")


class AgentSettings(Choices):
    """Any command that speaks the Agent Client Protocol over stdio inside the sandbox."""

    command: list[Plain] = Field(
        min_length=1, description='The program and its arguments, as in ["my-agent", "--acp"].'
    )
    env: Variables = Field({}, description="Variables of its environment; never a secret.")
    files: Files = Field({}, description="Files in its home: path -> text; never a secret.")
    model_option: str | None = Field(None, description="The option of its own that takes the model's name.")
    install: list[Plain] = Field(
        [], description="What `threadsmith agents install NAME` runs, in a folder of its own."
    )
    description: str = Field("", description="A line about it, for the people who choose.")


class Settings(Section):
    """Which agent works where a repository names none, and your own agents, each as [agents.NAME]."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Name, AgentSettings] = Field(init=False)

    default: str = Field(SCRIPTED, description="The agent for repositories that name none.")
    folder: Annotated[Path, AfterValidator(_folder)] = Field(
        Path("~/.cache/threadsmith/agents"), description="Where the programs of agents are kept."
    )
    opencode: Choices = Field(
        Choices.model_validate({}), description="The agent that is there as soon as a model is."
    )

    @property
    def own(self) -> Mapping[str, AgentSettings]:
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _default_is_known(self) -> Settings:
        known = {*BUILT_IN, *self.own}
        if self.default not in known:
            fix = f"Known are {', '.join(sorted(known))}; add [agents.NAME] for another."
            raise refused("default: the name of an agent", "an unknown one", fix)
        return self

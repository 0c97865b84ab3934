"""`[agents]` in config.toml. A secret is refused wherever it could slip into a sandbox."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bot import Section
from plugins.agents.recipes import SCRIPTED

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:api)?(?:key|token|secret|passw(?:or)?d|pwd|credential|auth|cookie)s?(?:_|$)", re.IGNORECASE
)
_SECRET_VALUE = re.compile(
    r"\bsk-[\w-]{8}|\bgh[a-z]_\w{8}|\bgithub_pat_\w|\bxox[a-z]+-\w|\bxapp-\w|\bAKIA[A-Z0-9]{8}|\bglpat-\w"
    r"|-----BEGIN|\bBearer\s+\S|\w://[^\s/:@]+:[^\s/@]+@"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_FIX = "A sandbox never holds a secret: leave it out; the gateway adds keys on the way out."


def _refused(expected: str, got: str, fix: str) -> PydanticCustomError:
    """Of the type "secret", so that the value is not shown."""
    return PydanticCustomError("secret", "{expected}", {"expected": expected, "got": got, "fix": fix})


def _no_reference(value: object) -> object:
    """`{ env = "X" }` and `{ file = "x" }` name secrets elsewhere in the configuration."""
    if isinstance(value, dict):
        raise _refused("a plain text", "a reference to a secret", _FIX)
    return value


def _no_secret(value: str) -> str:
    if _SECRET_VALUE.search(value):
        raise _refused("a plain text", "what looks like a secret (not shown)", _FIX)
    return value


def _no_secret_name(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise _refused("the name of an environment variable", "something else", "Use letters, digits and _.")
    if _SECRET_NAME.search(name):
        raise _refused("a variable that is no secret", "one that is named like a secret", _FIX)
    return name


def _agent_name(name: str) -> str:
    if not _AGENT.fullmatch(name) or name == SCRIPTED:
        fix = f"Use up to 32 small letters, digits, - and _; {SCRIPTED} is taken."
        raise _refused("a free name for an agent", "another", fix)
    return name


Plain = Annotated[str, BeforeValidator(_no_reference), AfterValidator(_no_secret)]
Variable = Annotated[str, AfterValidator(_no_secret_name)]
Name = Annotated[str, AfterValidator(_agent_name)]


class AgentSettings(Section):
    """Any command that speaks the Agent Client Protocol over stdio inside the sandbox."""

    command: tuple[Plain, ...] = Field(
        min_length=1, description='The program and its arguments, as in ["opencode", "acp"].'
    )
    env: dict[Variable, Plain] = Field(
        default_factory=dict, description="Variables of its environment; never a secret."
    )
    description: str = Field(default="", description="A line about it, for the people who choose.")


class Settings(Section):
    """Which agent works where a repository names none, and your own agents by name."""

    default: str = Field(default=SCRIPTED, description="The agent for repositories that name none.")
    custom: dict[Name, AgentSettings] = Field(
        default_factory=dict, description="Your own agents, each as [agents.custom.NAME] with its command."
    )

    @model_validator(mode="after")
    def _default_is_known(self) -> Settings:
        known = {SCRIPTED, *self.custom}
        if self.default not in known:
            fix = f"Known are {', '.join(sorted(known))}; add [agents.custom.NAME] for another."
            raise _refused("default: the name of an agent", "an unknown one", fix)
        return self

"""Every name a plugin may import; nothing else of `bot` is public.

Read `bot/hooks.py` first and `bot/domain.py` second. Settings derive from `Section`, whose fields of type
`Secret` are given by reference; a plugin's tests use the `botty` fixture and need no import at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.domain import (
    Action,
    AgentRecipe,
    Artifact,
    Bound,
    Change,
    CommitSha,
    Event,
    EventType,
    FileChange,
    Finding,
    GitAccess,
    GitIdentity,
    GitPurpose,
    Lease,
    LeaseRequest,
    Limits,
    Person,
    Process,
    Prompt,
    PromptId,
    PromptState,
    Provider,
    PullRequest,
    Repository,
    RepositoryAsk,
    RepositoryChoice,
    RepositoryQuestion,
    Sandbox,
    SandboxId,
    SandboxSpec,
    SessionId,
    SnapshotId,
    Stage,
    Subject,
    ThreadKey,
    ThreadMessage,
    Verdict,
)
from bot.errors import (
    AgentError,
    ConfigError,
    Denied,
    GitError,
    Mistake,
    PluginError,
    SandboxError,
    SandboxGone,
    SandboxUnreachable,
    ThreadsmithError,
    Unreachable,
    UserError,
)
from bot.hooks import Agents, Checks, Commands, Effects, PluginContext, Providers, Routes, Services, hookimpl
from storage import Secret

if TYPE_CHECKING:
    from bot.config_secrets import Section

__all__ = [
    "Action",
    "AgentError",
    "AgentRecipe",
    "Agents",
    "Artifact",
    "Bound",
    "Change",
    "Checks",
    "Commands",
    "CommitSha",
    "ConfigError",
    "Denied",
    "Effects",
    "Event",
    "EventType",
    "FileChange",
    "Finding",
    "GitAccess",
    "GitError",
    "GitIdentity",
    "GitPurpose",
    "Lease",
    "LeaseRequest",
    "Limits",
    "Mistake",
    "Person",
    "PluginContext",
    "PluginError",
    "Process",
    "Prompt",
    "PromptId",
    "PromptState",
    "Provider",
    "Providers",
    "PullRequest",
    "Repository",
    "RepositoryAsk",
    "RepositoryChoice",
    "RepositoryQuestion",
    "Routes",
    "Sandbox",
    "SandboxError",
    "SandboxGone",
    "SandboxId",
    "SandboxSpec",
    "SandboxUnreachable",
    "Secret",
    "Section",
    "Services",
    "SessionId",
    "SnapshotId",
    "Stage",
    "Subject",
    "ThreadKey",
    "ThreadMessage",
    "ThreadsmithError",
    "Unreachable",
    "UserError",
    "Verdict",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    """`Section` comes late: it needs pydantic, and `threadsmith --help` should not wait for that."""
    if name == "Section":
        from bot.config_secrets import Section

        return Section
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

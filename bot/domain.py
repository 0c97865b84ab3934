"""The words of the house as small frozen records: the second file to read, after `hooks.py`.

Nothing here does anything; what a thing *is* stands here, what happens to it stands in the rooms.
"""

# long because: it is the glossary, one record a word; a reader wants all of them on one page.

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NewType, Protocol

from storage import Secret

SessionId = NewType("SessionId", str)
PromptId = NewType("PromptId", int)
SandboxId = NewType("SandboxId", str)
SnapshotId = NewType("SnapshotId", str)
CommitSha = NewType("CommitSha", str)

GATEWAY_URL = "http://127.0.0.1:3128"  # where programs in any sandbox find the one way out
AGENT_FOLDER = "/opt/agent"  # where a recipe's `folder` is in a sandbox


# -- people and places ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ThreadKey:
    """A Slack thread. `team` is the installation's, not the author's."""

    team: str
    channel: str
    thread_ts: str

    @property
    def session_id(self) -> SessionId:
        """Derived, so that a session's file is found without any lookup."""
        name = f"{self.team}\n{self.channel}\n{self.thread_ts}".encode()
        return SessionId(hashlib.blake2b(name, digest_size=10).hexdigest())


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who speaks, clicks or asks. `id` is Slack's user id; `team` the one they belong to."""

    id: str
    team: str
    name: str
    is_guest: bool = False
    is_stranger: bool = False  # of another organisation, through a shared channel
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class Repository:
    """A configured repository. `name` is `owner/name`; everything else helps to choose or to build it."""

    name: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()  # Slack channel ids or names whose default it is
    default_branch: str = "main"
    agent: str | None = None
    egress: tuple[str, ...] = ()  # what its sandboxes may reach besides what all may: "host", "host:port"

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ThreadMessage:
    """One message of the thread a prompt came from, with who said it."""

    author_id: str
    author_name: str
    text: str
    ts: str


# -- prompts, turns, events ----------------------------------------------------------------------


class PromptState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # a question is open; nothing is leased or running
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a prompt, as its edge tells of it; untrusted, all of it.

    Its content is fetched when the turn begins. `size` in bytes.
    """

    id: str
    name: str
    mimetype: str = ""
    size: int = 0
    url: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request by one author. Unique on `(source, key)`; `attempt` counts the times it was claimed."""

    id: PromptId
    session: SessionId
    source: str  # slack | api | github
    key: str
    author: Person
    text: str
    state: PromptState
    attempt: int
    accepted_at: float  # seconds since the epoch
    message_ts: str | None = None  # the Slack message it came from
    repository: str | None = None  # as answered to a question, or asked for by a page
    files: tuple[Attachment, ...] = ()


class EventType(StrEnum):
    PROMPT_ACCEPTED = "prompt.accepted"
    PROMPT_EDITED = "prompt.edited"
    PROMPT_REMOVED = "prompt.removed"
    PROMPT_QUEUED = "prompt.queued"
    PARTICIPANT_JOINED = "participant.joined"
    REPOSITORY_CHOSEN = "repository.chosen"
    SANDBOX_LEASED = "sandbox.leased"
    SANDBOX_RELEASED = "sandbox.released"
    TURN_STARTED = "turn.started"
    TURN_PROGRESS = "turn.progress"  # what is being made ready, for people to see: {text, done}
    TURN_FINISHED = "turn.finished"
    TURN_FAILED = "turn.failed"
    TURN_STOPPED = "turn.stopped"
    TURN_MOVED = "turn.moved"  # it ends here and begins again in another repository: {repository, by}
    AGENT_TEXT = "agent.text"
    AGENT_THOUGHT = "agent.thought"
    TOOL_STARTED = "tool.started"
    TOOL_UPDATED = "tool.updated"
    TOOL_FINISHED = "tool.finished"
    PLAN_UPDATED = "plan.updated"
    QUESTION_ASKED = "question.asked"
    QUESTION_ANSWERED = "question.answered"
    USAGE_RECORDED = "usage.recorded"
    BUDGET_WARNED = "budget.warned"
    BUDGET_EXCEEDED = "budget.exceeded"
    EGRESS_DENIED = "egress.denied"
    ARTIFACT_CREATED = "artifact.created"
    PULL_REQUEST_OPENED = "pull_request.opened"
    PULL_REQUEST_UPDATED = "pull_request.updated"
    PULL_REQUEST_MERGED = "pull_request.merged"
    PULL_REQUEST_CLOSED = "pull_request.closed"
    PULL_REQUEST_REVIEWED = "pull_request.reviewed"
    SNAPSHOT_TAKEN = "snapshot.taken"


class Stage(StrEnum):
    """Where the time of a turn goes, in order."""

    ACCEPT = "accept"
    PERMIT = "permit"
    CLASSIFY = "classify"
    LEASE = "lease"
    SYNC = "sync"
    AGENT_START = "agent_start"
    FIRST_OUTPUT = "first_output"
    LAST_OUTPUT = "last_output"
    COLLECT = "collect"
    PUSH = "push"
    PULL_REQUEST = "pull_request"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Event:
    """One numbered record in a session's log; everything that happened can be replayed from them."""

    session: SessionId
    seq: int
    type: EventType
    at: float  # seconds since the epoch
    prompt_id: PromptId | None
    author_id: str | None
    data: Mapping[str, Any]


# -- deciding ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RepositoryQuestion:
    """What is known when a repository must be chosen. `repositories` holds only those the author may use."""

    prompt: Prompt
    channel_id: str
    channel_name: str
    thread: Sequence[ThreadMessage]
    repositories: Sequence[Repository]
    current: str | None  # the repository this thread already works in


@dataclass(frozen=True, slots=True)
class RepositoryChoice:
    """A repository by name, and why, in words for the thread: "because this is #web's repository"."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class RepositoryAsk:
    """Nothing decided: ask in the thread. `candidates` come first in the picker."""

    reason: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepositoryStep:
    """One step on the way to a repository, for those who ask why. One without a `verdict` passed."""

    name: str
    verdict: RepositoryChoice | RepositoryAsk | None
    said: str = ""


class Action(StrEnum):
    START = "start"
    STEER = "steer"
    STOP = "stop"
    APPROVE = "approve"
    SEE = "see"
    USE_REPOSITORY = "use_repository"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an action is about. `participants` are ids of the people whose text reached the agent."""

    session: SessionId | None = None
    repository: str | None = None
    participants: frozenset[str] = frozenset()


# -- sandboxes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one sandbox; 0 is never "unlimited"."""

    memory_mib: int = 4096
    cores: float = 2.0
    disk_mib: int = 10240
    processes: int = 512
    wall_seconds: int = 4 * 3600


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What a provider needs to make a sandbox. `labels` help to find it again; never a secret in them."""

    limits: Limits = Limits()
    labels: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0  # the boot epoch of the bot that asks
    image: SnapshotId | None = None  # a snapshot to start from; None is the bare base
    folders: Mapping[str, Path] = field(default_factory=dict)  # place inside -> the host's, read-only


class Egress(Protocol):
    """Who serves what the programs of one sandbox send to GATEWAY_URL. Which lease talks is known by this."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end; closes `writer`. Every byte of it is untrusted."""


class Process(Protocol):
    """A program running in a sandbox. Streams are bytes; the reader sets the pace (no unbounded buffer)."""

    def stdout(self) -> AsyncIterator[bytes]: ...
    def stderr(self) -> AsyncIterator[bytes]: ...
    async def write(self, data: bytes) -> None:
        """Write to stdin and wait until it was taken. BrokenPipeError once the program closed it."""

    async def write_eof(self) -> None: ...
    async def wait(self) -> int:
        """The exit code; 128+n for signal n; raises SandboxGone when the sandbox died under it."""

    async def kill(self) -> None:
        """End the program and all it started (its process group). Safe to call twice."""


class Sandbox(Protocol):
    """One running isolated environment. Files enter and leave through the pipes of `exec`."""

    @property
    def id(self) -> SandboxId: ...
    @property
    def provider(self) -> str: ...
    @property
    def workspace(self) -> str:
        """Absolute path inside, writable, where the repository goes."""

    @property
    def home(self) -> str:
        """Absolute path inside of the agent's home, writable, kept by snapshots."""

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Process:
        """Start a program. At its time limit it is killed and `wait()` returns -1."""

    async def set_egress(self, egress: Egress | None) -> None:
        """Who serves its connections from now on. What is open is cut; with None nothing leads out."""

    async def alive(self) -> bool:
        """False only when it is certainly gone; raises SandboxUnreachable when that cannot be told."""

    async def snapshot(self) -> SnapshotId: ...
    async def terminate(self) -> None:
        """End everything in it; returns once nothing of it runs. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One row of the published table of bounds. `hard` means the kernel or the service enforces it."""

    what: str
    value: str
    hard: bool
    how: str


class Verdict(StrEnum):
    OK = "ok"
    BEST_EFFORT = "best effort"  # works, with less than is to be wished
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `threadsmith doctor`: what was tried, what was found, what to type. No secret in it."""

    what: str
    verdict: Verdict
    found: str
    fix: str = ""


class Provider(Protocol):
    """What makes sandboxes. Every call has a deadline of its own and raises SandboxError beyond it."""

    @property
    def name(self) -> str: ...
    async def create(self, spec: SandboxSpec) -> Sandbox: ...
    async def discard(self, snapshot: SnapshotId) -> None: ...
    async def list(self) -> list[SandboxId]: ...
    async def ping(self) -> None:
        """Raises SandboxError with the fix in its text when no sandbox could be made."""

    def bounds(self, limits: Limits) -> Sequence[Bound]: ...
    async def close(self) -> None:
        """Terminate all that is left of this process's sandboxes."""


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    session: SessionId
    repository: Repository
    epoch: int
    snapshot: SnapshotId | None  # the session's own, to continue where it was
    progress: Callable[[str], Awaitable[None]]  # one short line for the thread
    folders: Mapping[str, Path] = field(default_factory=dict)  # see SandboxSpec


@dataclass(frozen=True, slots=True)
class Lease:
    """A sandbox held by a session. `restored` is false when a snapshot that was asked for is gone."""

    sandbox: Sandbox
    cold: bool
    restored: bool
    release: Callable[[], Awaitable[None]]


# -- agents --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class McpServer:
    """A tool server that an agent is given: a command inside the sandbox, or a path of a gateway route."""

    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    url: str = ""  # below GATEWAY_URL


@dataclass(frozen=True, slots=True)
class AgentRecipe:
    """How to start an agent that speaks ACP over stdio inside a sandbox.

    `folder` is the host's, with the agent's program; it is read-only at AGENT_FOLDER. `files` (path relative
    to the sandbox's home -> content) are written before it starts. `options` are ACP config options, set once
    a session is open. Nothing of it may hold a secret.
    """

    name: str
    description: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    folder: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    mode: str | None = None
    model: str | None = None
    permissions: str = "allow"  # what it asks for is allowed, denied, or asked in the thread ("ask")
    mcp_servers: tuple[McpServer, ...] = ()


# -- models and money ----------------------------------------------------------------------------


class ModelProtocol(StrEnum):
    """How a route's service is spoken to."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class Model:
    """A configured model. `url` is its route's base below GATEWAY_URL; prices are USD per million tokens."""

    name: str
    protocol: ModelProtocol
    route: str
    url: str
    input_usd: float
    cached_input_usd: float
    output_usd: float
    context_tokens: int
    output_tokens: int  # the most one answer may have


@dataclass(frozen=True, slots=True)
class Spender:
    """Whom a model call is for, and so whose budgets it counts against. `person` is a Slack user id."""

    session: SessionId
    turn: PromptId
    person: str
    repository: str | None


@dataclass(frozen=True, slots=True)
class ModelAsk:
    """A call of our own to a model. `text` is untrusted, and handed over as data.

    With a `schema` (a strict JSON schema of an object) the answer is wanted as such an object.
    """

    purpose: str  # one word for the accounts: "classify", "title"
    instructions: str
    text: str
    schema: Mapping[str, Any] | None = None
    output_tokens: int = 512
    timeout_seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class ModelReply:
    """`data` is None when no schema was asked for, or when the model could not be brought to keep to it."""

    text: str
    data: Mapping[str, Any] | None
    model: str


class Models(Protocol):
    """Calls of our own, through the gateway: its key, its budgets, its bounds."""

    @property
    def ready(self) -> bool:
        """Whether there is a model that we may ask. None is ever used without being configured for it."""

    async def ask(self, ask: ModelAsk, spender: Spender) -> ModelReply:
        """One call, tried once. Raises ModelError when it failed, took too long, or has no budget left."""


# -- git and what a turn leaves ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GitAccess:
    """Where a repository is fetched from and pushed to, and with what. `note` is shown when not empty."""

    url: str  # without any credential in it
    username: str
    password: Secret
    note: str = ""


class GitPurpose(StrEnum):
    FETCH = "fetch"
    PUSH = "push"


@dataclass(frozen=True, slots=True)
class GitIdentity:
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """One changed file of a turn. Binary files count no lines."""

    path: str
    status: str  # added | modified | deleted | renamed
    added: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Change:
    """The one commit a turn left, already on the remote branch and read back."""

    session: SessionId
    prompt: Prompt
    repository: Repository
    participants: Sequence[Person]
    branch: str
    base_branch: str
    commit: CommitSha
    files: Sequence[FileChange]
    title: str  # one line, untrusted
    summary: str  # the agent's last words, untrusted
    previous: PullRequest | None  # the session's open pull request on this branch
    session_url: str = ""


@dataclass(frozen=True, slots=True)
class PullRequest:
    repository: str
    number: int
    url: str
    title: str
    state: str  # open | merged | closed
    branch: str
    opener: str  # login
    note: str = ""  # shown to the thread when not empty: "opened as the bot because …"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a turn leaves: bundle, branch, pull request, diff, file, screenshot."""

    kind: str
    name: str
    url: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

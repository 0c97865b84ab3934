"""The core's part of the published table of bounds: what it holds everything to, whatever the provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.acp.transport import MAX_LINE_BYTES
from bot.acp.turn import AgentLimits
from bot.config_models import GitSettings, LimitSettings
from bot.domain import Bound
from bot.git.process import Bounds
from bot.git.quarantine import QuarantineLimits

CORE = "the bot"
_MIB = 1024 * 1024
ATTACHED_FILES = 10  # of one prompt
ATTACHED_FILE_BYTES = 10 * _MIB
ATTACHED_BYTES = 20 * _MIB  # of all files of one prompt


def core_bounds(limits: LimitSettings, git: GitSettings) -> list[Bound]:
    """All of them hard: the bot itself looks before anything goes on, and needs nobody's help for it."""
    rows = [
        ("turns at a time", f"{limits.running_turns}", "the others wait"),
        ("turns of one person at a time", f"{limits.running_turns_per_person}", "the others wait"),
        ("prompts waiting in a thread", f"{limits.queue_length}", "one more is refused"),
        ("open sessions of a person", f"{limits.sessions_per_person}", "one more is refused"),
        ("tries of a turn", f"{limits.attempts}", "then it fails, and its work is kept"),
        ("length of a prompt", f"{limits.message_chars} characters", "a longer one is refused"),
        ("files that come with a prompt", _of_files(), "others are not handed over, and are named"),
        ("a turn", f"{limits.turn_seconds} s", "then the agent is ended"),
        ("silence of an agent", f"{limits.idle_seconds} s", "then it is ended"),
        ("a sandbox kept for a quiet thread", f"{limits.lease_idle_seconds} s", "then it is given back"),
        *_of_output(limits, git),
    ]
    return [Bound(what, value, True, how) for what, value, how in rows]


def _of_files() -> str:
    each, together = ATTACHED_FILE_BYTES // _MIB, ATTACHED_BYTES // _MIB
    return f"{ATTACHED_FILES}, of {each} MiB each and {together} MiB together"


def _of_output(limits: LimitSettings, git: GitSettings) -> list[tuple[str, str, str]]:
    """What a sandbox may hand out."""
    agent, kernel = AgentLimits(), QuarantineLimits().kernel
    said = f"{agent.turn_bytes // _MIB} MiB, {agent.turn_updates} updates"
    work = f"{kernel.memory_mib} MiB, {kernel.cpu_seconds} s of processor, {kernel.file_mib} MiB a file"
    return [
        ("one line of an agent", f"{MAX_LINE_BYTES // _MIB} MiB", "a longer one ends the turn"),
        ("what an agent says in a turn", said, "the rest is left out; several times as much ends the turn"),
        ("work handed out by a turn", f"{limits.bundle_mib} MiB", "reading stops there, and it is refused"),
        ("files changed by a turn", f"{limits.changed_files}", "more are refused"),
        ("a file that a turn adds", f"{git.blob_mib} MiB", "a larger one is refused"),
        ("git's work on what came out", work, "limits of the kernel on that process"),
        ("one git command", f"{Bounds().seconds:g} s unless it says otherwise", "then its group is killed"),
    ]


def as_markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as the README has it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def strength(bound: Bound) -> str:
    return "hard" if bound.hard else "best effort"


def published(variants: Mapping[str, Sequence[Bound]]) -> list[list[str]]:
    """One row a bound: its name, its value, and how it is held in each variant of a provider."""
    first, *others = variants.values()
    by_name = [{bound.what: bound for bound in each} for each in others]
    rows = []
    for bound in first:
        held = [f"{strength(each)}: {each.how}" for each in (bound, *(each[bound.what] for each in by_name))]
        rows.append(
            [bound.what, bound.value, held[0], *("the same" if x == held[0] else x for x in held[1:])]
        )
    return rows

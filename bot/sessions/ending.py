"""How a turn ended: gathered while it runs, written once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bot.domain import Artifact, EventType, Prompt, PromptState, PullRequest
from storage import NewArtifact, NewEffect, NewEvent, Outcome, SessionFile


@dataclass(slots=True)
class Ending:
    """The facts of the final message; `done` until `fail` or `stop` is called."""

    prompt: Prompt
    outcome: str = "done"
    summary: str = ""
    error: str = ""
    by: str = ""
    kept: str = ""
    agent: str = ""
    usd: float = 0.0  # what the models of this turn cost, in US dollars
    calls: int = 0  # how often they were asked
    pull_request: PullRequest | None = None
    updated: bool = False
    files: list[dict[str, Any]] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    def fail(self, text: str) -> None:
        self.outcome, self.error = "failed", text

    def stop(self, by: str, kept: str) -> None:
        self.outcome, self.by, self.kept = "stopped", by, kept


_STATES = {"done": PromptState.DONE, "failed": PromptState.FAILED, "stopped": PromptState.STOPPED}
_EVENTS = {
    "done": EventType.TURN_FINISHED,
    "failed": EventType.TURN_FAILED,
    "stopped": EventType.TURN_STOPPED,
}


async def write_ending(file: SessionFile, ending: Ending, epoch: int, seconds: float) -> bool:
    """State, last events, session fields and the final message's row in one transaction. False: fenced."""
    session = await file.session()
    prompt = ending.prompt
    fields = dict(ending.fields)
    if ending.pull_request is not None:
        fields["pull_request"] = asdict(ending.pull_request)
    final = NewEffect("thread.post", f"final:{prompt.id}", _facts(ending, session["repository"], seconds))
    return await file.finish(
        prompt.id,
        epoch,
        _STATES[ending.outcome],
        events=_events(ending),
        effects=[final],
        session_fields=fields or None,
        message=ending.summary or ending.error or ending.kept or None,
        artifacts=_artifacts(ending),
    )


def stop_of_queued(prompt: Prompt, by: str, repository: str | None, now: float) -> Outcome:
    """The end of a prompt that is stopped while it waits, with its final message."""
    ending = Ending(prompt)
    begun = prompt.attempt > 0  # and was cut off, or asked something
    ending.stop(by, "Nothing was pushed." if begun else "It had not begun yet.")
    facts = _facts(ending, repository, max(0.0, now - prompt.accepted_at))
    final = NewEffect("thread.post", f"final:{prompt.id}", facts)
    return Outcome(_events(ending), [final], message=ending.kept)


def withdrawn(prompt_id: int) -> NewEffect:
    """The picker of a prompt that was stopped while it asked: it shall not be clicked any more."""
    of = f"question:{prompt_id}"
    return NewEffect(
        "thread.update", f"{of}:withdrawn", {"kind": "withdrawn", "of": of, "prompt_id": prompt_id}
    )


def _facts(ending: Ending, repository: str | None, seconds: float) -> dict[str, Any]:
    prompt, pull = ending.prompt, ending.pull_request
    return {
        "kind": "final",
        "outcome": ending.outcome,
        "prompt_id": prompt.id,
        "message_ts": prompt.message_ts,
        "author": prompt.author.id,
        "repository": repository,
        "agent": ending.agent,
        "usd": ending.usd if ending.calls else None,
        "summary": ending.summary,
        "error": ending.error,
        "by": ending.by,
        "kept": ending.kept,
        "files": ending.files,
        "commands": ending.commands,
        "pull_request": None if pull is None else {**asdict(pull), "updated": ending.updated},
        "notes": ending.notes,
        "seconds": seconds,
    }


def _events(ending: Ending) -> list[NewEvent]:
    prompt, events = ending.prompt, []
    if ending.pull_request is not None:
        kind = EventType.PULL_REQUEST_UPDATED if ending.updated else EventType.PULL_REQUEST_OPENED
        events.append(NewEvent(kind, asdict(ending.pull_request), prompt.id, prompt.author.id))
    events += [
        NewEvent(
            EventType.ARTIFACT_CREATED, {"kind": each.kind, "name": each.name, "url": each.url}, prompt.id
        )
        for each in ending.artifacts
    ]
    data = {"error": ending.error, "files": len(ending.files), "by": ending.by}
    events.append(
        NewEvent(_EVENTS[ending.outcome], {k: v for k, v in data.items() if v}, prompt.id, prompt.author.id)
    )
    return events


def _artifacts(ending: Ending) -> list[NewArtifact]:
    made = [NewArtifact(a.kind, a.name, a.url, a.data, ending.prompt.id) for a in ending.artifacts]
    if ending.fields.get("branch"):
        data = {"commit": ending.fields["head_commit"]}
        made.append(NewArtifact("branch", ending.fields["branch"], data=data, prompt_id=ending.prompt.id))
    if ending.pull_request is not None:
        pull = ending.pull_request
        made.append(NewArtifact("pull_request", f"#{pull.number}", pull.url, {}, ending.prompt.id))
    return made

"""“Wrong repository?”: what can still be moved, and how a turn that is moved ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain import Person
from bot.errors import UserError
from bot.sessions.ending import Ending
from storage import SessionFile

MOVED = "moved"  # noted among the stages of a turn that was
_LATE = {
    "pushing": "That is being pushed already, so it stays where it is.",
    "stopping": "That is being stopped. Once it is, this can start it again elsewhere.",
    "moving": "That is being moved already. Once it has begun there, it can be moved again.",
    "waiting": "That request waits for an answer in this thread. Answer it first.",
    "removed": "That request was taken back.",
}


@dataclass(frozen=True, slots=True)
class Movable:
    """A prompt that may be moved. `again`: it is over, so it would be started anew."""

    row: Mapping[str, Any]
    repository: str  # where it was begun
    again: bool


async def movable(file: SessionFile, prompt_id: int, person: Person) -> Movable:
    """What a click on “Wrong repository?” may do here. UserError with what stands against it."""
    row = await file.prompt(prompt_id)
    opened = await _opened_in(file, prompt_id)
    if row is None or opened is None:
        raise UserError("That button is not one of mine.")
    asked = [each for each in await file.prompts() if each["state"] != "removed"]
    if all(each["author_id"] != person.id for each in [*asked, *await file.participants()]):
        raise UserError("Only people who asked in this thread can move it to another repository.")
    if row["state"] in ("queued", "running"):
        return Movable(row, opened, again=False)
    refuse(row["state"])
    pulls = [each for each in await file.artifacts("pull_request") if each["prompt_id"] == prompt_id]
    if pulls:
        raise UserError(
            f"That is done, with pull request {pulls[0]['name']} in {opened}, so it is not moved. To have it "
            "elsewhere too, send the request again with `repo=owner/name`."
        )
    if any(each["id"] > prompt_id for each in asked):
        raise UserError(
            "More was asked for in this thread since. Send the request again with `repo=owner/name`."
        )
    return Movable(row, opened, again=True)


def refuse(state: str) -> None:
    """UserError where a prompt in this state cannot be moved."""
    if state in _LATE:
        raise UserError(_LATE[state])


async def moves_on(file: SessionFile, ending: Ending, epoch: int) -> bool:
    """Whether a turn that ends begins again elsewhere, and that is on the disk. One that is done does not."""
    if ending.outcome != "done":
        return await file.moved(ending.prompt.id, epoch) is not None
    for each in await file.effects(("pending",), "turn.move"):
        if each["intent"]["prompt_id"] == ending.prompt.id:
            where = each["intent"]["repository"]
            ending.notes.append(
                f"It was to move to {where}, but was being pushed already, so it stayed here."
            )
    return False


async def _opened_in(file: SessionFile, prompt_id: int) -> str | None:
    """The repository of a prompt's opening message as it stands now."""
    key = f"opening:{prompt_id}"
    openings = [
        each["intent"]["repository"]
        for each in await file.effects(kind_prefix="thread.")
        if each["intent"].get("kind") == "opening" and key in (each["key"], each["intent"].get("of"))
    ]
    return str(openings[-1]) if openings else None

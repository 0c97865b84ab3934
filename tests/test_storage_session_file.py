"""A session's file: what it accepts once, in which order it runs, and what an older boot may no longer do."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from storage import (
    Accepted,
    Executor,
    NewArtifact,
    NewEffect,
    NewEvent,
    NewPrompt,
    Outcome,
    SessionFile,
    Stop,
    Stopped,
    StorageError,
    Unusable,
    session_file,
)
from storage.session_file import create_session_file

EPOCH = 5
numbers = count(1)


class Thread:
    team, channel, thread_ts = "T1", "C1", "1.1"


class Clock:
    at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def session(tmp_path: Path, clock: Clock) -> AsyncIterator[SessionFile]:
    executor = Executor()
    create_session_file(tmp_path / "s.db", "s", Thread, 1000.0)
    session = await SessionFile.open(tmp_path / "s.db", "s", executor, clock)
    yield session
    await session.close()
    executor.close()


def prompt(
    key: str = "",
    author: str = "U1",
    text: str = "fix the header",
    message_ts: str | None = "1.1",
    unaddressed: bool = False,
) -> NewPrompt:
    return NewPrompt(
        source="slack",
        key=key or f"C1:{next(numbers)}",
        author_id=author,
        author_name=f"Name of {author}",
        text=text,
        at=1000.5,
        author={"id": author, "team": "T1"},
        message_ts=message_ts,
        unaddressed=unaddressed,
    )


async def accepted_as(session: SessionFile, prompt: NewPrompt, epoch: int = EPOCH) -> Accepted:
    accepted = await session.accept(prompt, epoch)
    assert accepted is not None
    return accepted


async def types(session: SessionFile) -> list[str]:
    return [event["type"] for event in await session.events()]


async def accept(session: SessionFile, *keys: str) -> list[int]:
    return [(await accepted_as(session, prompt(key))).prompt_id for key in keys]


async def states(session: SessionFile) -> list[str]:
    return [row["state"] for row in await session.prompts()]


async def everything(session: SessionFile) -> dict[str, object]:
    """All rows of all tables, to show that nothing was written."""
    tables = (
        "session",
        "prompts",
        "messages",
        "turns",
        "events",
        "artifacts",
        "effects",
        "participants",
        "lease",
    )
    return {name: await session._read(f"SELECT * FROM {name}") for name in tables}


# -- accept -----------------------------------------------------------------------------------------


async def test_a_message_that_comes_as_mention_and_as_message_at_once_is_one_prompt(
    session: SessionFile,
) -> None:
    results = await asyncio.gather(*(accepted_as(session, prompt("C1:1.1")) for _ in range(4)))
    assert {result.prompt_id for result in results} == {1}
    assert sorted(result.new for result in results) == [False, False, False, True]
    assert await types(session) == ["prompt.accepted"]
    assert len(await session.messages()) == 1


async def test_a_redelivery_reports_the_prompt_as_it_is_now_and_writes_nothing(session: SessionFile) -> None:
    await accept(session, "a", "b")
    await session.claim(EPOCH)
    before = await everything(session)
    first, second = [await accepted_as(session, prompt(key, text="changed"), EPOCH + 1) for key in ("a", "b")]
    assert (first.new, first.state, first.position) == (False, "running", 0)
    assert (second.new, second.state, second.position) == (False, "queued", 1)
    assert await everything(session) == before


async def test_the_same_key_from_another_source_is_another_prompt(session: SessionFile) -> None:
    await accept(session, "k")
    other = await accepted_as(session, NewPrompt("api", "k", "U1", "Ann", "text", 1.0))
    assert other.new


async def test_accepting_writes_prompt_message_and_event_together(session: SessionFile) -> None:
    accepted = await accepted_as(session, prompt("C1:1.1"))
    assert (accepted.new, accepted.state, accepted.position) == (True, "queued", 0)
    row = await session.find_prompt("slack", "C1:1.1")
    assert row is not None
    assert row == await session.prompt(accepted.prompt_id)
    assert row["author"] == {"id": "U1", "team": "T1"}
    assert (row["attempt"], row["interrupted"], row["accepted_at"]) == (0, 0, 1000.5)
    [message] = await session.messages()
    assert (message["role"], message["content"], message["author_id"]) == ("user", "fix the header", "U1")
    [event] = await session.events()
    assert (event["type"], event["at"], event["author_id"]) == ("prompt.accepted", 1000.5, "U1")
    assert event["data"]["text"] == "fix the header"


async def test_a_prompt_behind_others_learns_its_position_and_the_thread_its_queueing(
    session: SessionFile,
) -> None:
    await accept(session, "a", "b")
    await session.claim(EPOCH)
    third = await accepted_as(session, prompt("c"))
    assert third.position == 2
    queued = [event["data"] for event in await session.events() if event["type"] == "prompt.queued"]
    assert queued == [{"position": 1}, {"position": 2}]


async def test_text_no_database_could_hold_is_kept_as_far_as_it_is_text(session: SessionFile) -> None:
    """JSON may carry half of a surrogate pair; a NUL must not cut the rest off."""
    odd = prompt("k\udc00", author="U\ud800", text="a\ud83d b\x00c 🎉 '; DROP TABLE prompts; --")
    assert (await accepted_as(session, odd)).new
    assert not (await accepted_as(session, odd)).new
    [row] = await session.prompts()
    assert row["text"] == "a? b\x00c 🎉 '; DROP TABLE prompts; --"
    row["text"].encode()


# -- edit and remove --------------------------------------------------------------------------------


async def test_a_queued_prompt_can_be_edited_and_the_agent_gets_the_new_text(session: SessionFile) -> None:
    await accept(session, "a")
    assert await session.edit("slack", "a", "new text") == "queued"
    claimed = await session.claim(EPOCH)
    assert claimed is not None
    assert claimed["text"] == "new text"
    assert (await session.messages())[0]["content"] == "new text"
    assert "prompt.edited" in await types(session)


async def test_files_come_with_a_prompt_stay_when_it_is_edited_and_go_with_it(session: SessionFile) -> None:
    """An edit that tells of them is right about them; whoever follows the events learns their names."""
    first, second = {"id": "F1", "name": "a.png", "url": "https://x"}, {"id": "F2", "name": "b.png"}
    await accepted_as(session, replace(prompt("a"), files=(first, second)))
    await session.edit("slack", "a", "new text")
    [row] = await session.prompts()
    assert row["files"] == [first, second]
    await session.edit("slack", "a", "newer text", [second])
    [row] = await session.prompts()
    assert row["files"] == [second]
    told = [event["data"].get("files") for event in await session.events()]
    assert told == [["a.png", "b.png"], None, ["b.png"]]
    await session.remove("slack", "a")
    [row] = await session.prompts()
    assert row["files"] == []


async def test_a_removed_prompt_never_runs_and_leaves_the_conversation(session: SessionFile) -> None:
    await accept(session, "a", "b")
    assert await session.remove("slack", "a") == "removed"
    assert await session.remove("slack", "a") == "removed"
    claimed = await session.claim(EPOCH)
    assert claimed is not None
    assert claimed["key"] == "b"
    assert [m["prompt_id"] for m in await session.messages()] == [claimed["id"]]
    assert (await types(session)).count("prompt.removed") == 1


async def test_once_it_runs_or_ended_it_can_be_neither_edited_nor_removed(session: SessionFile) -> None:
    [first] = await accept(session, "a")
    for reached in ("running", "done"):
        if reached == "running":
            await session.claim(EPOCH)
        else:
            await session.finish(first, EPOCH, "done")
        before = await everything(session)
        assert await session.edit("slack", "a", "too late") == reached
        assert await session.remove("slack", "a") == reached
        assert await everything(session) == before


async def test_editing_or_removing_what_was_never_accepted_says_so(session: SessionFile) -> None:
    assert await session.edit("slack", "none", "x") is None
    assert await session.remove("slack", "none") is None


# -- claim ------------------------------------------------------------------------------------------


async def test_prompts_run_in_the_order_they_were_accepted_and_one_at_a_time(session: SessionFile) -> None:
    ids = await accept(session, "c", "a", "b")
    ran = []
    while (row := await session.claim(EPOCH)) is not None:
        assert await session.claim(EPOCH) is None, "two at a time"
        ran.append(row["id"])
        assert await session.finish(row["id"], EPOCH, "done")
    assert ran == ids


async def test_of_two_claims_at_once_only_one_gets_the_prompt(session: SessionFile) -> None:
    await accept(session, "a", "b")
    claimed = await asyncio.gather(*(session.claim(EPOCH) for _ in range(5)))
    assert len([row for row in claimed if row is not None]) == 1


async def test_the_database_itself_refuses_a_second_running_prompt(session: SessionFile) -> None:
    await accept(session, "a", "b")
    with pytest.raises(sqlite3.IntegrityError):
        await session._write(lambda tx: tx.execute("UPDATE prompts SET state = 'running'"))
    assert await states(session) == ["queued", "queued"]


async def test_claiming_starts_the_turn(session: SessionFile, clock: Clock) -> None:
    for author in ("U1", "U2", "U1"):
        await session.accept(prompt(author=author), EPOCH)
    for _ in range(3):
        clock.at += 10
        row = await session.claim(EPOCH)
        assert row is not None
        assert (row["state"], row["attempt"], row["started_at"]) == ("running", 1, clock.at)
        await session.finish(row["id"], EPOCH, "done")
    started = [event for event in await session.events() if event["type"] == "turn.started"]
    assert [event["data"] for event in started] == [{"attempt": 1}] * 3


async def test_a_claimed_prompt_makes_nobody_a_participant_before_they_were_permitted(
    session: SessionFile,
) -> None:
    await accept(session, "a")
    await session.claim(EPOCH)
    assert await session.participants() == []
    assert "participant.joined" not in await types(session)


async def test_an_author_joins_once_and_is_known_by_the_newest_name(session: SessionFile) -> None:
    first, second = await accept(session, "a", "b")
    assert await session.join(first, "U1", "Ann", {"id": "U1", "name": "Ann"})
    assert await session.join(first, "U2", "Ben", {"id": "U2"})
    assert not await session.join(second, "U1", "Anna", {"id": "U1", "name": "Anna"})
    joined = [event for event in await session.events() if event["type"] == "participant.joined"]
    assert [(e["author_id"], e["data"]) for e in joined] == [
        ("U1", {"author_name": "Ann"}),
        ("U2", {"author_name": "Ben"}),
    ]
    ann, ben = await session.participants()
    assert (ann["author_name"], ann["author"]) == ("Anna", {"id": "U1", "name": "Anna"})
    assert (ann["first_prompt"], ben["author_name"]) == (first, "Ben")


async def test_a_waiting_prompt_holds_back_those_behind_it_until_it_is_answered(session: SessionFile) -> None:
    first, second = await accept(session, "a", "b")
    await session.claim(EPOCH)
    asked = [NewEvent("question.asked", {"q": "which?"}, first)]
    assert await session.wait(first, EPOCH, asked, [NewEffect("slack.post", "question:1", {})])
    assert await session.claim(EPOCH) is None
    third = await accepted_as(session, prompt("c"))
    assert third.position == 2
    assert await session.answer(first, "acme/web", [NewEvent("question.answered", {}, first, "U1")])
    assert not await session.answer(first, "acme/other"), "answered twice"
    row = await session.claim(EPOCH)
    assert row is not None
    assert (row["id"], row["repository"], row["attempt"]) == (first, "acme/web", 2)
    assert await session.finish(first, EPOCH, "done")
    following = await session.claim(EPOCH)
    assert following is not None
    assert following["id"] == second


async def test_a_waiting_prompt_can_be_removed_and_the_next_one_runs(session: SessionFile) -> None:
    first, second = await accept(session, "a", "b")
    await session.claim(EPOCH)
    await session.wait(first, EPOCH)
    assert await session.remove("slack", "a") == "removed"
    assert not await session.answer(first, "acme/web")
    row = await session.claim(EPOCH)
    assert row is not None
    assert row["id"] == second


# -- finish and the fence -----------------------------------------------------------------------------


async def test_finishing_writes_state_events_effects_artifacts_fields_and_message_together(
    session: SessionFile, clock: Clock
) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    clock.at = 2000.0
    assert await session.finish(
        first,
        EPOCH,
        "done",
        events=[NewEvent("turn.finished", {"files": 2}, first)],
        effects=[NewEffect("slack.post", "final:1", {"text": "done"})],
        session_fields={"title": "Header", "pull_request": {"number": 7}},
        message="I fixed it.",
        artifacts=[NewArtifact("diff", "turn-1.diff", data={"added": 3}, prompt_id=first)],
    )
    row = await session.prompt(first)
    assert row is not None
    assert (row["state"], row["finished_at"]) == ("done", 2000.0)
    assert (await types(session))[-1] == "turn.finished"
    [effect] = await session.effects({"pending"})
    assert effect["intent"] == {"text": "done"}
    about = await session.session()
    assert (about["title"], about["pull_request"], about["updated_at"]) == ("Header", {"number": 7}, 2000.0)
    assert [m["content"] for m in await session.messages()] == ["fix the header", "I fixed it."]
    assert [a["data"] for a in await session.artifacts("diff")] == [{"added": 3}]
    assert await session.artifacts("bundle") == []
    [turn] = await session.turns(first)
    assert turn["finished_at"] == 2000.0


async def test_an_older_boot_can_neither_finish_nor_append_and_writes_nothing(session: SessionFile) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    assert [row["id"] for row in await session.requeue_running(EPOCH + 1)] == [first]
    again = await session.claim(EPOCH + 1)
    assert again is not None
    before = await everything(session)
    zombie = [NewEvent("agent.text", {"text": "boo"}, first)]
    assert not await session.finish(
        first, EPOCH, "done", zombie, [NewEffect("slack.post", "k", {})], {"title": "x"}, "m"
    )
    assert not await session.wait(first, EPOCH, zombie)
    assert await session.append(zombie, EPOCH) == []
    assert await session.claim(EPOCH) is None
    assert await everything(session) == before
    assert await session.append(zombie, EPOCH + 1) != []
    assert await session.finish(first, EPOCH + 1, "done")


async def test_an_older_boot_cannot_claim_what_a_newer_one_has_touched(session: SessionFile) -> None:
    first, _ = await accept(session, "a", "b")
    await session.claim(EPOCH)
    await session.finish(first, EPOCH, "done")
    assert await session.claim(EPOCH - 1) is None
    assert await session.claim(EPOCH) is not None


async def test_a_finished_turn_is_not_finished_again_and_takes_no_more_events(session: SessionFile) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    assert await session.finish(first, EPOCH, "stopped")
    before = await everything(session)
    assert not await session.finish(first, EPOCH, "done", message="late")
    late = [NewEvent("snapshot.taken"), NewEvent("agent.text", {}, first)]
    assert await session.append(late, EPOCH) == [], "the whole batch is refused"
    assert await everything(session) == before


async def test_a_finish_that_cannot_be_written_whole_is_not_written_at_all(session: SessionFile) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    before = await everything(session)
    with pytest.raises(ValueError, match="no field colour"):
        await session.finish(first, EPOCH, "done", session_fields={"title": "x", "colour": 1})
    with pytest.raises(TypeError):
        await session.finish(first, EPOCH, "done", [NewEvent("turn.finished", {"x": object()}, first)])
    with pytest.raises(ValueError, match="not as 'queued'"):
        await session.finish(first, EPOCH, "queued")
    assert await everything(session) == before


def gone(row: dict[str, Any], repository: str | None) -> Outcome:
    """The end of a prompt that is stopped while it is queued."""
    bye = NewEffect("slack.post", f"bye:{row['id']}", {})
    return Outcome([NewEvent("turn.stopped", {}, row["id"])], [bye], message="Stopped.")


async def test_a_stop_ends_all_that_is_queued_where_nothing_has_begun(session: SessionFile) -> None:
    first, second = await accept(session, "a", "b")
    assert await session.stop(Stop("U2"), gone) == Stopped(None, True)
    assert await states(session) == ["stopped", "stopped"]
    assert (await types(session))[-2:] == ["turn.stopped", "turn.stopped"]
    assert [e["key"] for e in await session.effects()] == [f"bye:{first}", f"bye:{second}"]
    assert await session.stop(Stop("U2"), gone) == Stopped(None, False)


async def test_a_stop_that_is_heard_again_changes_nothing_whatever_it_found_before(
    session: SessionFile,
) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    assert (await session.stop(Stop("U2", "C1:9.9"), gone)).planned is not None
    await session.finish(first, EPOCH, "stopped")
    assert await session.stop(Stop("U2", "C1:9.8"), gone) == Stopped(None, False)
    await accept(session, "b")
    await session.claim(EPOCH)
    for key in ("C1:9.9", "C1:9.8"):
        assert await session.stop(Stop("U2", key), gone) == Stopped(None, True)
    assert await states(session) == ["stopped", "running"]
    assert await session.effects(("pending", "sending")) == []


async def test_a_stop_of_one_whose_push_was_begun_is_left_to_its_turn(session: SessionFile) -> None:
    """It was cut off and waits for a slot; that it had not begun would be untrue."""
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    await session.plan_of_turn(first, EPOCH, "git.push", f"push:{first}", {})
    await session.requeue_running(EPOCH + 1)
    planned = (await session.stop(Stop("U2"), gone)).planned
    assert planned is not None
    assert (planned["id"], await states(session)) == (first, ["queued"])


# -- after a crash ------------------------------------------------------------------------------------


async def test_recovery_queues_what_ran_in_front_again_and_counts_the_interruption(
    session: SessionFile,
) -> None:
    first, second = await accept(session, "a", "b")
    for epoch in (EPOCH, EPOCH + 1, EPOCH + 2):
        row = await session.claim(epoch)
        assert row is not None
        assert (row["id"], row["attempt"]) == (first, epoch - EPOCH + 1)
        assert await session.requeue_running(epoch) == [], "one's own turns are left alone"
        [requeued] = await session.requeue_running(epoch + 1)
        assert (requeued["state"], requeued["interrupted"]) == ("queued", epoch - EPOCH + 1)
    assert [turn["attempt"] for turn in await session.turns(first)] == [1, 2, 3]
    assert all(turn["finished_at"] is not None for turn in await session.turns(first))
    assert await session.turns(second) == []


async def test_recovery_leaves_waiting_and_finished_prompts_as_they_are(session: SessionFile) -> None:
    first, _ = await accept(session, "a", "b")
    await session.claim(EPOCH)
    await session.wait(first, EPOCH)
    assert await session.requeue_running(EPOCH + 1) == []
    assert await states(session) == ["waiting", "queued"]


async def test_idle_means_nothing_unfinished_and_nothing_unsent(session: SessionFile) -> None:
    assert await session.idle()
    [first] = await accept(session, "a")
    assert not await session.idle()
    await session.claim(EPOCH)
    assert not await session.idle()
    await session.finish(first, EPOCH, "done", effects=[NewEffect("slack.post", "k", {})])
    assert not await session.idle()
    [effect] = await session.effects()
    await session.effect_sending(effect["id"])
    assert not await session.idle()
    await session.effect_done(effect["id"])
    assert await session.idle()


# -- events, stages, lease, fields ---------------------------------------------------------------------


async def test_events_are_numbered_without_gaps_and_read_from_a_cursor(session: SessionFile) -> None:
    await accept(session, "a")
    await session.claim(EPOCH)
    for n in range(5):
        await session.append(
            [NewEvent("agent.text", {"n": n, "text": "ä\ud800"}, 1), NewEvent("agent.thought")], EPOCH
        )
    seqs = [event["seq"] for event in await session.events()]
    assert seqs == list(range(1, 13))
    assert await session.last_seq() == 12
    page = await session.events(after=9, limit=2)
    assert [event["seq"] for event in page] == [10, 11]
    assert await session.events(after=12) == []


async def test_listeners_hear_of_every_commit_with_events_or_effects_and_of_no_other(
    session: SessionFile,
) -> None:
    heard: list[tuple[str, int]] = []
    session.listeners.append(lambda name, seq: heard.append((name, seq)))

    async def heard_from(step: object) -> list[int]:
        heard.clear()
        await step  # type: ignore[misc]
        await asyncio.sleep(0)
        assert all(name == "s" for name, _ in heard)
        return [seq for _, seq in heard]

    assert await heard_from(session.accept(prompt("a"), EPOCH)) == [1]
    assert await heard_from(session.accept(prompt("a"), EPOCH)) == [], "a redelivery is no news"
    assert await heard_from(session.claim(EPOCH)) == [2]
    assert await heard_from(session.append([NewEvent("agent.text", {}, 1)], EPOCH)) == [3]
    assert await heard_from(session.append([NewEvent("agent.text", {}, 1)], EPOCH - 1)) == []
    assert await heard_from(session.finish(1, EPOCH - 1, "done", [NewEvent("x")])) == []
    assert await heard_from(session.stage(1, "lease", 1.0)) == []
    assert await heard_from(session.effect_plan("post", "k", {})) == [3]
    assert await heard_from(session.effect_plan("post", "k", {})) == []
    assert await heard_from(session.effect_sending(1)) == [3]
    assert await heard_from(session.effect_sending(1)) == []


async def test_a_reopened_file_goes_on_counting_where_it_was(session: SessionFile, clock: Clock) -> None:
    await accept(session, "a")
    await session.close()
    executor = Executor()
    again = await SessionFile.open(session.path, "s", executor, clock)
    heard: list[int] = []
    again.listeners.append(lambda _, seq: heard.append(seq))
    await again.effect_plan("post", "k", {})
    assert await again.append([NewEvent("agent.text")]) == [2]
    await asyncio.sleep(0)
    assert heard == [1, 2]
    await again.close()
    executor.close()


@pytest.mark.proof("outside")
async def test_a_disk_that_fails_for_a_moment_does_not_make_a_file_one_without_a_session(
    session: SessionFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to restore a file with which nothing is wrong; one without its table still is."""
    await session.close()
    executor = Executor()
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ

    def fail(*_: object) -> None:
        raise failed

    with monkeypatch.context() as patched:
        patched.setattr(session_file, "value", fail)
        with pytest.raises(StorageError, match="the disk reported an error") as caught:
            await SessionFile.open(session.path, "s", executor)
    assert not isinstance(caught.value, Unusable)
    with closing(sqlite3.connect(session.path)) as db:
        db.execute("DROP TABLE session")
    with pytest.raises(Unusable, match="has no session in it"):
        await SessionFile.open(session.path, "s", executor)
    executor.close()


async def test_stages_belong_to_the_latest_turn_and_the_first_time_counts(session: SessionFile) -> None:
    [first] = await accept(session, "a")
    await session.stage(first, "permit", 1.0)
    assert await session.turn_stages(first) == {}
    await session.claim(EPOCH)
    await session.stage(first, "permit", 2.0)
    await session.stage(first, "permit", 9.0)
    await session.stage(first, "lease", 3.5)
    await session.requeue_running(EPOCH + 1)
    await session.claim(EPOCH + 1)
    await session.stage(first, "permit", 10.0)
    assert await session.turn_stages(first) == {"permit": 10.0}
    assert [turn["stages"] for turn in await session.turns()] == [
        {"permit": 2.0, "lease": 3.5},
        {"permit": 10.0},
    ]


async def test_a_session_holds_one_lease_or_none(session: SessionFile) -> None:
    assert await session.lease() is None
    lease = {"sandbox": "sb-1", "image": "img", "provider": "local", "epoch": EPOCH, "expires_at": 5.0}
    await session.set_lease(lease)
    await session.set_lease(lease | {"sandbox": "sb-2"})
    assert await session.lease() == lease | {"sandbox": "sb-2"}
    with pytest.raises(ValueError, match="no field colour"):
        await session.set_lease(lease | {"colour": 1})
    await session.set_lease(None)
    assert await session.lease() is None


async def test_unknown_fields_of_a_session_are_refused_whatever_they_hold(session: SessionFile) -> None:
    for name in ("id", "title = 'x' --", "created_at"):
        with pytest.raises(ValueError, match="no field"):
            await session.update_session(**{name: "x"})
    await session.update_session(branch="threadsmith/s-x", extra={"a": [1]}, repository=None)
    about = await session.session()
    assert (about["branch"], about["extra"], about["team"]) == ("threadsmith/s-x", {"a": [1]}, "T1")


async def test_record_writes_all_it_is_given_or_nothing(session: SessionFile) -> None:
    seqs = await session.record(
        [NewEvent("pull_request.merged", {"by": "ann"})],
        [NewEffect("slack.post", "merged", {})],
        {"branch_number": 2},
        [NewArtifact("branch", "b")],
    )
    assert seqs == [1]
    before = await everything(session)
    with pytest.raises(TypeError):
        await session.record([NewEvent("x", {"bad": {1, 2}})], [NewEffect("a", "b", {})], {"title": "x"})
    assert await everything(session) == before


async def test_an_export_is_a_whole_database_by_itself_and_never_overwrites(
    session: SessionFile, tmp_path: Path
) -> None:
    await accept(session, "a")
    target = tmp_path / "out.db"
    await session.export(target)
    assert target.stat().st_mode & 0o777 == 0o600
    copy = sqlite3.connect(target)
    assert copy.execute("SELECT key FROM prompts").fetchall() == [("a",)]
    copy.close()
    with pytest.raises(StorageError) as caught:
        await session.export(target)
    assert caught.value.path == target
    assert "exists" in caught.value.what
    with pytest.raises(StorageError):
        await session.export(tmp_path / "no such folder" / "out.db")
    await accept(session, "b")


async def test_the_summary_tells_the_state_a_person_would_name(session: SessionFile) -> None:
    async def state() -> tuple[str, int]:
        row = await session.summary()
        return row["state"], row["prompts"]

    assert await state() == ("empty", 0)
    first, second = await accept(session, "a", "b")
    assert await state() == ("queued", 2)
    await session.claim(EPOCH)
    assert await state() == ("running", 2)
    await session.wait(first, EPOCH)
    assert await state() == ("waiting", 2)
    await session.answer(first, "acme/web")
    await session.claim(EPOCH)
    await session.finish(first, EPOCH, "failed")
    assert await state() == ("queued", 2)
    await session.remove("slack", "b")
    assert await state() == ("failed", 1)
    assert second


async def test_all_that_was_promised_is_flushed_and_only_events_and_stages_are_not(
    session: SessionFile,
) -> None:
    """`synchronous` stays as the last write set it, so a read shows which kind that was."""
    full, normal = 2, 1

    async def flushed(step: object) -> int:
        await step  # type: ignore[misc]
        return int((await session._read("PRAGMA synchronous"))[0]["synchronous"])

    event = NewEvent("agent.text", {}, 1)
    steps = [
        (session.accept(prompt("a"), EPOCH), full),
        (session.append([event]), normal),
        (session.edit("slack", "a", "x"), full),
        (session.stage(1, "permit", 1.0), normal),
        (session.claim(EPOCH), full),
        (session.append([event], EPOCH), normal),
        (session.wait(1, EPOCH), full),
        (session.append([event]), normal),
        (session.answer(1, "acme/web"), full),
        (session.append([event]), normal),
        (session.requeue_running(EPOCH), full),
        (session.append([event]), normal),
        (session.effect_plan("post", "k", {}), full),
        (session.append([event]), normal),
        (session.effect_sending(1), full),
        (session.append([event]), normal),
        (session.effect_done(1), full),
        (session.append([event]), normal),
        (session.record([event]), full),
        (session.append([event]), normal),
        (session.update_session(title="x"), full),
        (session.append([event]), normal),
        (session.set_lease(None), full),
        (session.append([event]), normal),
        (session.remove("slack", "a"), full),
        (session.append([event]), normal),
        (session.join(1, "U1", "Ann", {}), full),
        (session.append([event]), normal),
        (session.stop(Stop("U1"), gone), full),
        (session.append([event]), normal),
        (session.hand_back(1, EPOCH, False), full),
        (session.append([event]), normal),
        (session.finish(1, EPOCH, "done"), full),
    ]
    for number, (step, wanted) in enumerate(steps):
        assert await flushed(step) == wanted, f"step {number}"


# -- said before the session was one ------------------------------------------------------------------


async def test_talk_from_before_the_first_mention_never_becomes_a_prompt(session: SessionFile) -> None:
    early = prompt("early", message_ts="99.000001", unaddressed=True)
    assert await session.accept(early, EPOCH) is None, "no prompt yet: nothing addressed us"
    assert await session.accept(prompt("mention", message_ts="100.000002"), EPOCH) is not None
    before = await everything(session)
    assert await session.accept(early, EPOCH) is None
    same = prompt("same", message_ts="100.000002", unaddressed=True)
    assert await session.accept(same, EPOCH) is None
    assert await everything(session) == before
    late = await accepted_as(session, prompt("late", message_ts="100.000003", unaddressed=True))
    assert late.new
    mentioned = await accepted_as(session, prompt("m", message_ts="98.5"))
    assert mentioned.new, "a mention may be as old as it likes"


async def test_a_redelivered_reply_is_known_whatever_it_is_compared_with(session: SessionFile) -> None:
    await session.accept(prompt("mention", message_ts="100.1"), EPOCH)
    await session.accept(prompt("reply", message_ts="100.2", unaddressed=True), EPOCH)
    again = await accepted_as(session, prompt("reply", message_ts="100.2", unaddressed=True))
    assert (again.new, again.prompt_id) == (False, 2)


async def test_a_session_begun_without_a_message_takes_every_reply(session: SessionFile) -> None:
    await session.accept(prompt("api", message_ts=None), EPOCH)
    assert (await accepted_as(session, prompt("reply", message_ts="5.5", unaddressed=True))).new


# -- stop ---------------------------------------------------------------------------------------------


async def test_a_stop_is_planned_for_what_runs_or_waits_and_never_after_its_end(
    session: SessionFile,
) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    stopped = (await session.stop(Stop("U2"), gone)).planned
    assert stopped is not None
    assert (stopped["id"], stopped["state"], stopped["author"]) == (
        first,
        "running",
        {"id": "U1", "team": "T1"},
    )
    [effect] = await session.effects(("pending",))
    assert (effect["kind"], effect["key"]) == ("turn.stop", f"stop:{first}")
    assert effect["intent"] == {"by": "U2", "prompt_id": first}
    await session.finish(first, EPOCH, "stopped")
    assert await session.stop(Stop("U2"), gone) == Stopped(None, False)
    assert await session.idle()


async def test_a_waiting_prompt_is_stopped_and_the_stop_outlives_the_asking(session: SessionFile) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    assert (await session.stop(Stop("U2"), gone)).planned is not None
    await session.wait(first, EPOCH)
    stopped = (await session.stop(Stop("U3"), gone)).planned
    assert stopped is not None
    assert stopped["state"] == "waiting"
    [effect] = await session.effects(("pending",))
    assert effect["intent"]["by"] == "U2", "the first one to say it"


async def test_a_stop_heard_late_spares_what_began_after_it_was_said(
    session: SessionFile, clock: Clock
) -> None:
    await accept(session, "a")
    clock.at = 2000.0
    await session.claim(EPOCH)
    assert await session.stop(Stop("U2", at=1999.0), gone) == Stopped(None, False)
    assert await session.effects() == []
    clock.at = 3000.0
    await session.requeue_running(EPOCH + 1)
    await session.claim(EPOCH + 1)
    again = await session.stop(Stop("U2", at=2000.0), gone)
    assert again.planned is not None, "being taken up again is no beginning"


# -- what an ended turn leaves ------------------------------------------------------------------------


async def test_an_ended_turn_owes_only_what_the_thread_is_to_be_told(session: SessionFile) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    done = await session.effect_plan("git.push", "one", {})
    await session.effect_sending(done["id"])
    await session.effect_done(done["id"], {"sha": "1"})
    sending = await session.effect_plan("pull_request", "two", {})
    await session.effect_sending(sending["id"])
    await session.effect_plan("turn.stop", f"stop:{first}", {"by": "U1", "prompt_id": first})
    await session.effect_plan("thread.post", "opening", {})
    assert not await session.finish(first, EPOCH - 1, "done")
    assert len(await session.effects(("pending", "sending"))) == 3, "fenced: nothing is closed"
    assert await session.finish(first, EPOCH, "done", effects=[NewEffect("thread.post", "final", {})])
    closed = [(e["kind"], e["state"], e["error"]) for e in await session.effects()]
    assert closed == [
        ("git.push", "done", None),
        ("pull_request", "failed", "the turn ended"),
        ("turn.stop", "failed", "the turn ended"),
        ("thread.post", "pending", None),
        ("thread.post", "pending", None),
    ]


async def test_a_turn_that_only_asks_keeps_what_it_owes(session: SessionFile) -> None:
    [first] = await accept(session, "a")
    await session.claim(EPOCH)
    await session.effect_plan("turn.stop", f"stop:{first}", {"by": "U1", "prompt_id": first})
    await session.wait(first, EPOCH)
    assert [e["state"] for e in await session.effects()] == ["pending"]


async def test_a_prompt_that_ends_without_running_takes_its_own_stop_with_it(session: SessionFile) -> None:
    first, second = await accept(session, "a", "b")
    await session.claim(EPOCH)
    await session.wait(first, EPOCH)
    await session.stop(Stop("U2"), gone)
    await session.effect_plan("turn.stop", f"stop:{second}", {"by": "U2", "prompt_id": second})
    assert await session.remove("slack", "a") == "removed"
    assert [e["state"] for e in await session.effects()] == ["failed", "pending"]


async def test_taking_back_an_asked_question_withdraws_its_picker_in_the_same_breath(
    session: SessionFile,
) -> None:
    first, second = await accept(session, "a", "b")
    await session.claim(EPOCH)
    running = [NewEffect("thread.update", "never", {})]
    assert await session.remove("slack", "a", running) == "running"
    await session.wait(first, EPOCH)
    assert await session.remove("slack", "b", running) == "removed", "it was queued and asked nothing"
    assert await session.effects() == []

    def withdrawn(prompt_id: int) -> list[NewEffect]:
        return [NewEffect("thread.update", f"question:{prompt_id}:withdrawn", {})]

    assert await session.remove("slack", "a", withdrawn) == "removed"
    assert await session.remove("slack", "a", withdrawn) == "removed"
    assert [e["key"] for e in await session.effects()] == [f"question:{first}:withdrawn"]
    assert second


# -- a clean shutdown ---------------------------------------------------------------------------------


@pytest.mark.parametrize("counted", [True, False])
async def test_a_running_prompt_is_handed_back_with_or_without_counting(
    session: SessionFile, counted: bool
) -> None:
    [first] = await accept(session, "a")
    assert not await session.hand_back(first, EPOCH, counted), "it does not run"
    await session.claim(EPOCH)
    assert not await session.hand_back(first, EPOCH - 1, counted), "another boot's"
    assert await session.hand_back(first, EPOCH, counted)
    row = await session.prompt(first)
    assert row is not None
    assert (row["state"], row["interrupted"]) == ("queued", int(counted))
    [turn] = await session.turns(first)
    assert turn["finished_at"] is not None
    assert await session.claim(EPOCH + 1) is not None


async def test_recovery_after_a_clean_end_counts_no_interruption(session: SessionFile) -> None:
    await accept(session, "a")
    await session.claim(EPOCH)
    [row] = await session.requeue_running(EPOCH + 1, counted=False)
    assert (row["state"], row["interrupted"]) == ("queued", 0)

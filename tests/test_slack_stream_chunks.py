"""Chunks of a stream from a session's events: short, joined, each task once, obeying nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.stream_chunks import ChunkWriter

Json = dict[str, Any]
words = st.text(max_size=40) | st.sampled_from(["<!channel>", "<", "!here>", "@U0ADASAMPL>", "x" * 9000, ""])
tool = st.fixed_dictionaries(
    {"tool_id": st.sampled_from(["a", "b", "c" * 400])},
    optional={
        "title": words,
        "status": st.sampled_from(["pending", "in_progress", "completed", "failed", "odd", None]),
        "output": words,
        "locations": st.lists(words, max_size=9),
    },
)
entry = st.fixed_dictionaries(
    {}, optional={"content": words, "status": st.sampled_from(["pending", "completed", "odd", None])}
)


def event(kind: str, **data: Any) -> Json:
    return {"type": kind, "data": data}


events = st.lists(
    st.one_of(
        st.builds(lambda text, done: event("turn.progress", text=text, done=done), words, st.booleans()),
        st.builds(lambda text: event("agent.text", text=text), words),
        st.builds(
            lambda kind, data: event(kind, **data),
            st.sampled_from(["tool.started", "tool.updated", "tool.finished"]),
            tool,
        ),
        st.builds(lambda entries: event("plan.updated", entries=entries), st.lists(entry, max_size=25)),
        st.just(event("usage.recorded", tokens=5)),
        st.just(event("agent.thought", text="secretly")),
    ),
    max_size=12,
)


def assert_slack_takes(chunk: Json) -> None:
    """Slack's limits: 256 characters a field of a task, 12 000 a text."""
    if chunk["type"] == "markdown_text":
        assert len(chunk["text"]) <= 12_000
        return
    assert chunk["type"] == "task_update"
    assert chunk["status"] in {"pending", "in_progress", "complete", "error"}
    for field in ("id", "title", "details", "output"):
        assert len(chunk.get(field, "")) <= 256
    assert chunk["id"]


@given(st.lists(events, max_size=4))
@pytest.mark.proof("output")
def test_every_chunk_is_within_slacks_limits_and_obeys_nothing(batches: list[list[Json]]) -> None:
    """Whatever events come in whatever batches; also where two texts meet, since Slack joins them."""
    writer = ChunkWriter()
    text = ""
    for batch in batches:
        chunks = writer.chunks(batch)
        ids = [chunk["id"] for chunk in chunks if chunk["type"] == "task_update"]
        assert len(ids) == len(set(ids))
        for chunk in chunks:
            assert_slack_takes(chunk)
            text += chunk.get("text", "")
            assert not any(re.search(r"<[!@#]", str(value)) for value in chunk.values())
    assert not re.search(r"<[!@#]", text)
    assert "secretly" not in text
    for chunk in writer.closing(failed=False):
        assert_slack_takes(chunk)


@pytest.mark.proof("output")
def test_a_mention_cut_in_two_stays_cut() -> None:
    """In one batch and over two: an agent streams in pieces of any size, and Slack joins them again."""
    pieces = [event("agent.text", text="<"), event("agent.text", text="!channel>")]
    for batches in ([pieces], [[piece] for piece in pieces]):
        writer = ChunkWriter()
        shown = "".join(chunk["text"] for batch in batches for chunk in writer.chunks(batch))
        assert shown == "< !channel>"


def test_texts_that_follow_each_other_are_one_chunk() -> None:
    """And a tool between them keeps its place."""
    writer = ChunkWriter()
    chunks = writer.chunks(
        [
            event("agent.text", text="One, "),
            event("agent.text", text="two. "),
            event("tool.started", tool_id="t", title="Read a.txt", status="in_progress"),
            event("agent.text", text="Three."),
        ]
    )
    assert [chunk.get("text") or chunk["title"] for chunk in chunks] == ["One, two. ", "Read a.txt", "Three."]


def test_an_update_of_a_tool_keeps_what_it_does_not_say() -> None:
    """Title and status as they were; details and output are sent once, since Slack appends them."""
    writer = ChunkWriter()
    [began] = writer.chunks(
        [event("tool.started", tool_id="t", title="Edit", status="in_progress", locations=["src/a.js"])]
    )
    assert began == {
        "type": "task_update",
        "id": "tool-t",
        "title": "Edit",
        "status": "in_progress",
        "details": "src/a.js",
    }
    [ended] = writer.chunks([event("tool.finished", tool_id="t", status="completed", output="done\n")])
    assert ended == {
        "type": "task_update",
        "id": "tool-t",
        "title": "Edit",
        "status": "complete",
        "output": "done",
    }


def test_a_tool_that_is_named_like_a_step_of_the_plan_is_that_step() -> None:
    """Nobody needs to see it twice; a second tool of that name is one of its own."""
    writer = ChunkWriter()
    writer.chunks([event("plan.updated", entries=[{"content": "Run tests", "status": "pending"}])])
    chunks = writer.chunks(
        [
            event("tool.started", tool_id="a", title="Run tests", status="in_progress"),
            event("tool.started", tool_id="b", title="Run tests", status="in_progress"),
        ]
    )
    assert [chunk["id"] for chunk in chunks] == ["plan-0", "tool-b"]


def test_the_end_leaves_no_task_spinning() -> None:
    """What was open is complete, or an error when the turn failed."""
    writer = ChunkWriter()
    writer.chunks(
        [
            event("turn.progress", text="Starting", done=False),
            event("tool.started", tool_id="t", title="Edit", status="completed"),
        ]
    )
    assert [(chunk["id"], chunk["status"]) for chunk in writer.closing(True)] == [("setup", "error")]
    assert [(chunk["id"], chunk["status"]) for chunk in writer.closing(False)] == [("setup", "complete")]

"""From ACP updates to drafts of events, and many chunks to few."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.acp.coalesce import Coalescer
from bot.acp.diffs import CONTEXT_LINES, EXCERPT_CHARACTERS, EXCERPT_LINES, excerpt
from bot.acp.updates import Draft, drafts, usage_drafts
from bot.domain import EventType


def one(update: dict[str, object], root: str = "/w") -> Draft:
    (draft,) = drafts(update, root)
    return draft


def text(value: str, variant: str = "agent_message_chunk") -> dict[str, object]:
    return {"sessionUpdate": variant, "content": {"type": "text", "text": value}}


def test_words_and_thoughts():
    assert one(text("Hello ")) == Draft(EventType.AGENT_TEXT, {"text": "Hello "})
    assert one(text("hmm", "agent_thought_chunk")) == Draft(EventType.AGENT_THOUGHT, {"text": "hmm"})
    assert drafts(text("my own words", "user_message_chunk")) == []


def test_a_tool_begins_with_title_kind_and_status_whatever_was_left_out():
    assert one({"sessionUpdate": "tool_call", "toolCallId": "t"}) == Draft(
        EventType.TOOL_STARTED, {"tool_id": "t", "title": "tool", "kind": "other", "status": "pending"}
    )


def test_a_tool_of_a_kind_not_known_yet_is_still_a_tool():
    assert one({"sessionUpdate": "tool_call", "toolCallId": "t", "kind": "teleport"}).data["kind"] == "other"


def test_an_update_of_a_tool_carries_only_what_is_new():
    update = {"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "in_progress"}
    assert one(update) == Draft(EventType.TOOL_UPDATED, {"tool_id": "t", "status": "in_progress"})


@pytest.mark.parametrize("status", ["completed", "failed"])
@pytest.mark.parametrize("variant", ["tool_call", "tool_call_update"])
def test_a_tool_that_ended_is_finished_even_where_it_begins_that_way(status, variant):
    draft = one({"sessionUpdate": variant, "toolCallId": "t", "status": status})
    assert (draft.type, draft.data["status"]) == (EventType.TOOL_FINISHED, status)


def test_paths_below_the_root_become_relative_and_stay_text():
    locations = [
        {"path": "/w/src/a.py", "line": 3},
        {"path": "/w/src/a.py"},
        {"path": "/etc/x\x1b[2J"},
        {"path": 7},
        8,
    ]
    draft = one({"sessionUpdate": "tool_call", "toolCallId": "t", "locations": locations}, "/w/")
    assert draft.data["locations"] == ["src/a.py", "/etc/x"]


def test_a_command_is_read_from_text_or_list():
    for command in ("npm test", ["npm", "test"]):
        draft = one({"sessionUpdate": "tool_call", "toolCallId": "t", "rawInput": {"command": command}})
        assert draft.data["command"] == "npm test"


def test_of_an_output_the_end_is_kept():
    content = [{"type": "content", "content": {"type": "text", "text": "x" * 90_000 + "the end"}}]
    draft = one({"sessionUpdate": "tool_call_update", "toolCallId": "t", "content": content})
    assert len(draft.data["output"]) == 4000
    assert draft.data["output"].endswith("the end")


@pytest.mark.parametrize(
    ("content", "mark"),
    [
        ({"type": "image", "data": "AAAA", "mimeType": "image/png"}, "[image]"),
        ({"type": "audio", "data": "AAAA", "mimeType": "audio/wav"}, "[audio]"),
        ({"type": "resource_link", "uri": "file:///w/a", "name": "a\x1b[1m.pdf"}, "[file a.pdf]"),
        ({"type": "resource", "resource": {"uri": "file:///w/a", "blob": "AAAA"}}, "[file]"),
    ],
)
def test_what_is_no_text_is_named_in_words_and_in_outputs(content, mark):
    assert one({"sessionUpdate": "agent_message_chunk", "content": content}).data == {"text": mark}
    parts = [{"type": "content", "content": {"type": "text", "text": "Taken:"}}]
    parts += [{"type": "content", "content": content}]
    tool = one({"sessionUpdate": "tool_call_update", "toolCallId": "t", "content": parts})
    assert tool.data["output"] == f"Taken:\n{mark}"


def test_the_text_of_a_file_in_an_output_is_shown():
    part = {"type": "content", "content": {"type": "resource", "resource": {"uri": "x", "text": "hello"}}}
    assert one({"sessionUpdate": "tool_call", "toolCallId": "t", "content": [part]}).data["output"] == "hello"


def test_of_a_terminal_of_the_agents_own_its_output_is_shown_where_it_is_sent():
    embedded = {"type": "terminal", "terminalId": "term-1"}
    update = {"sessionUpdate": "tool_call_update", "toolCallId": "t", "content": [embedded]}
    assert "output" not in one(update).data
    told = update | {"_meta": {"terminal_output": {"terminal_id": "term-1", "data": "42 passed\x1b[0m"}}}
    assert one(told).data["output"] == "42 passed"


@pytest.mark.parametrize("raw", ["out", {"output": "out"}, {"stdout": "out", "exitCode": 0}])
def test_a_raw_output_counts_where_there_is_no_content(raw):
    draft = one({"sessionUpdate": "tool_call_update", "toolCallId": "t", "rawOutput": raw})
    assert draft.data["output"] == "out"


def test_a_diff_is_summed_up_in_lines():
    diff = {"type": "diff", "path": "/w/a", "oldText": "a\nb\nc\n", "newText": "a\nB\nc\nd\n"}
    new = {"type": "diff", "path": "/w/new", "oldText": None, "newText": "1\n2\n"}
    draft = one(
        {"sessionUpdate": "tool_call_update", "toolCallId": "t", "content": [diff, new, {"type": "diff"}]}
    )
    assert draft.data["diffs"] == [
        {"path": "a", "added": 2, "deleted": 1, "excerpt": "@@ -1,3 +1,4 @@\n a\n-b\n-c\n+B\n+c\n+d"},
        {"path": "new", "added": 2, "deleted": 0, "excerpt": "@@ -0,0 +1,2 @@\n+1\n+2"},
    ]


def test_of_an_edit_people_see_the_stretch_that_changed_with_some_lines_around():
    old = [f"line {n}" for n in range(1, 101)]
    new = [*old[:49], "fifty", *old[50:59], *old[60:]]
    diff = {"type": "diff", "path": "a", "oldText": "\n".join(old), "newText": "\n".join(new)}
    data = one({"sessionUpdate": "tool_call", "toolCallId": "t", "content": [diff]}).data["diffs"][0]
    lines = data["excerpt"].splitlines()
    assert lines[:4] == ["@@ -48,15 +48,14 @@", " line 48", " line 49", "-line 50"]
    assert lines[-3:] == ["+line 59", " line 61", " line 62"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("", ""), ("same\n", "same\n"), ("a\nb", "a\nb\n"), ("x" * 9, "x" * 9)],
)
def test_an_edit_that_changes_no_line_has_no_excerpt(old, new):
    assert excerpt(old, new) == ""


def test_of_a_large_edit_both_sides_are_shown_and_what_is_left_out_is_counted():
    shown = excerpt("\n".join(f"old {n}" for n in range(500)), "\n".join(f"new {n}" for n in range(9)))
    assert shown.count("\n-old") == 31
    assert "\n-… 469 more\n" in shown
    assert shown.count("\n+new") == 9


def test_a_long_line_does_not_hide_the_next_one():
    _, first, second = excerpt("", "x" * 100_000 + "\nthe next\n").splitlines()
    assert (len(first), second) == (201, "+the next")


@given(st.text("ab\n\r\u2028\x1b[", max_size=60), st.text("ab\n\r\u2028\x1b[", max_size=60))
def test_an_excerpt_applied_to_the_old_text_gives_the_new_one(old, new):
    """As long as nothing had to be cut or cleaned."""
    old, new = (text.translate(dict.fromkeys(map(ord, "\r\u2028\x1b"))) for text in (old, new))
    lines = excerpt(old, new).splitlines()
    if not lines or any("…" in line for line in lines):
        return
    first = int(lines[0].split(",")[0].removeprefix("@@ -"))
    gone = [line[1:] for line in lines[1:] if line[0] in " -"]
    come = [line[1:] for line in lines[1:] if line[0] in " +"]
    before = old.splitlines()
    start = first - 1 if gone else first
    assert before[start : start + len(gone)] == gone
    assert [*before[:start], *come, *before[start + len(gone) :]] == new.splitlines()


@given(st.text(max_size=300), st.text(max_size=300), st.integers(1, 400))
def test_an_excerpt_is_bounded_and_holds_nothing_hidden(old, new, times):
    shown = excerpt(old * times, new)
    assert len(shown) <= EXCERPT_CHARACTERS
    assert len(shown.split("\n")) <= EXCERPT_LINES + 2 * CONTEXT_LINES + 3
    assert not set(shown) & set("\x00\x1b\x07\u202e\u2066")


def test_of_many_diffs_the_first_are_shown_and_all_are_counted():
    diff = {"type": "diff", "path": "a", "oldText": "", "newText": ("x" * 150 + "\n") * 30}
    found = one({"sessionUpdate": "tool_call", "toolCallId": "t", "content": [diff] * 50}).data["diffs"]
    assert sum("excerpt" in each for each in found) == 3
    assert [each["added"] for each in found] == [30] * 50


def test_many_large_diffs_are_counted_up_to_one_bound_for_all():
    """Fifty files of nothing but line ends would hold up everybody else."""
    diff = {"type": "diff", "path": "a", "oldText": "\n" * 150_000, "newText": ""}
    small = diff | {"oldText": "x\n"}
    draft = one({"sessionUpdate": "tool_call", "toolCallId": "t", "content": [diff] * 3 + [small]})
    counted = {"path": "a", "added": 0, "deleted": 150_000}
    assert [{**diff, "excerpt": ""} for diff in draft.data["diffs"][:2]] == [{**counted, "excerpt": ""}] * 2
    assert draft.data["diffs"][2:] == [{"path": "a"}, {"path": "a"}]


def test_a_huge_diff_is_named_and_not_counted():
    diff = {"type": "diff", "path": "a", "oldText": "x" * 3_000_000, "newText": ""}
    draft = one({"sessionUpdate": "tool_call", "toolCallId": "t", "content": [diff]})
    assert draft.data["diffs"] == [{"path": "a"}]


def test_a_plan_replaces_the_one_before():
    entries = [
        {"content": "Look", "status": "completed", "priority": "high"},
        {"content": "Do\nit"},
        {"content": ""},
        5,
    ]
    assert one({"sessionUpdate": "plan", "entries": entries}) == Draft(
        EventType.PLAN_UPDATED,
        {
            "entries": [
                {"content": "Look", "status": "completed", "priority": "high"},
                {"content": "Do it", "status": "pending", "priority": "medium"},
            ]
        },
    )
    assert one({"sessionUpdate": "plan", "entries": []}).data == {"entries": []}


def test_the_todos_of_a_tool_are_a_plan_too():
    todos = [
        {"content": "a", "status": "in_progress"},
        {"content": "b", "status": "cancelled", "priority": "low"},
    ]
    update = {"sessionUpdate": "tool_call_update", "toolCallId": "t", "rawInput": {"todos": todos}}
    tool, plan = drafts(update)
    assert (tool.type, plan.type) == (EventType.TOOL_UPDATED, EventType.PLAN_UPDATED)
    assert [entry["status"] for entry in plan.data["entries"]] == ["in_progress", "completed"]


@pytest.mark.parametrize(
    "raw",
    [
        {"todos": [{"content": "Look", "status": "pending", "activeForm": "Looking"}]},  # Claude
        {"todos": [{"id": "1", "content": "Look", "status": "pending"}]},  # qwen
        {"todos": [{"description": "Look", "status": "pending"}]},  # Gemini
        {"plan": [{"step": "Look", "status": "pending"}], "explanation": "So"},  # Codex
    ],
)
def test_the_plans_that_agents_keep_with_a_tool_are_known_by_their_shape(raw):
    _, plan = drafts({"sessionUpdate": "tool_call", "toolCallId": "t", "rawInput": raw})
    entry = {"content": "Look", "status": "pending", "priority": "medium"}
    assert plan == Draft(EventType.PLAN_UPDATED, {"entries": [entry]})


@pytest.mark.parametrize(
    "plan", ["a plan", [], ["x"], [{"step": "x"}], [{"step": 1, "status": "pending"}], {"a": 1}, [None]]
)
def test_another_plan_of_a_tool_is_none(plan):
    one({"sessionUpdate": "tool_call", "toolCallId": "t", "rawInput": {"plan": plan}})


def test_a_plan_of_the_unstable_kind_comes_and_goes():
    plan = {"type": "items", "planId": "p", "entries": [{"content": "Look", "status": "in_progress"}]}
    assert one({"sessionUpdate": "plan_update", "plan": plan}).data["entries"][0]["content"] == "Look"
    prose = {"type": "markdown", "planId": "p", "content": "- Look"}
    assert drafts({"sessionUpdate": "plan_update", "plan": prose}) == []
    assert one({"sessionUpdate": "plan_removed", "planId": "p"}).data == {"entries": []}


def test_the_commands_of_an_agent_are_left_out():
    commands = [{"name": "compact", "description": "x"}]
    assert drafts({"sessionUpdate": "available_commands_update", "availableCommands": commands}) == []


def test_usage_is_taken_where_it_is_a_sane_number():
    update = {
        "sessionUpdate": "usage_update",
        "used": 10,
        "size": 100,
        "cost": {"amount": 0.5, "currency": "EUR"},
    }
    assert one(update).data == {"context_used": 10, "context_size": 100, "cost": 0.5, "currency": "EUR"}
    for bad in (True, "1", -1, 1e400, 2**60, [], None):
        assert drafts({"sessionUpdate": "usage_update", "used": bad}) == []
        assert usage_drafts({"inputTokens": bad}) == []


@pytest.mark.parametrize(
    "update",
    [None, 1, "x", [], {}, {"sessionUpdate": 5}, {"sessionUpdate": ["plan"]}, {"sessionUpdate": "hologram"}],
)
def test_what_means_nothing_is_no_draft(update):
    assert drafts(update) == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "path",
                    "type",
                    "text",
                    "content",
                    "status",
                    "todos",
                    "command",
                    "oldText",
                    "newText",
                    "amount",
                    "plan",
                    "step",
                    "resource",
                    "terminal_output",
                    "data",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
VARIANTS = [
    "agent_message_chunk",
    "agent_thought_chunk",
    "tool_call",
    "tool_call_update",
    "plan",
    "usage_update",
    "plan_update",
    "plan_removed",
    "new",
]
FIELDS = [
    "content",
    "toolCallId",
    "title",
    "kind",
    "status",
    "locations",
    "rawInput",
    "rawOutput",
    "entries",
    "used",
    "size",
    "cost",
    "plan",
    "_meta",
]


@given(st.sampled_from(VARIANTS), st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_no_update_makes_it_raise_and_every_draft_can_be_stored(variant, fields):
    for draft in drafts({"sessionUpdate": variant, **fields}, "/w"):
        assert isinstance(draft.type, EventType)
        json.dumps(draft.data, allow_nan=False, ensure_ascii=False).encode()


# -- joining chunks ------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def said(words: str, type_: EventType = EventType.AGENT_TEXT) -> Draft:
    return Draft(type_, {"text": words})


TOOL = Draft(EventType.TOOL_STARTED, {"tool_id": "t"})


def test_chunks_are_held_until_they_are_old():
    clock = Clock()
    joined = Coalescer(clock)
    assert joined.due() is None
    assert joined.add(said("Hel")) == []
    assert joined.due() == pytest.approx(0.15)
    clock.now = 0.1
    assert joined.add(said("lo")) == []
    clock.now = 0.2
    assert joined.add(said("!")) == [said("Hello!")]
    assert (joined.due(), joined.flush()) == (None, [])


def test_chunks_are_held_until_they_are_long():
    joined = Coalescer(Clock(), max_bytes=4)
    assert joined.add(said("ab")) == []
    assert joined.add(said("é")) == [said("abé")]


def test_whatever_is_no_text_comes_at_once_and_after_the_text_before_it():
    joined = Coalescer(Clock())
    joined.add(said("a"))
    assert joined.add(TOOL) == [said("a"), TOOL]


def test_words_and_thoughts_are_not_mixed():
    joined = Coalescer(Clock())
    joined.add(said("a"))
    assert joined.add(said("b", EventType.AGENT_THOUGHT)) == [said("a")]
    assert joined.flush() == [said("b", EventType.AGENT_THOUGHT)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([EventType.AGENT_TEXT, EventType.AGENT_THOUGHT, None]),
            st.text(min_size=1),
            st.floats(0, 1),
        )
    )
)
def test_nothing_is_lost_or_moved_by_joining(chunks):
    clock = Clock()
    joined = Coalescer(clock, max_bytes=50)
    out: list[Draft] = []
    for type_, words, pause in chunks:
        clock.now += pause
        out += joined.add(TOOL if type_ is None else said(words, type_))
    out += joined.flush()

    def flat(items: list[Draft]) -> list[tuple[EventType, str]]:
        return [(draft.type, char) for draft in items for char in draft.data.get("text", "|")]

    assert flat(out) == flat([TOOL if type_ is None else said(words, type_) for type_, words, _ in chunks])

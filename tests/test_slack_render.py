"""Posts from the facts in an outbox row: within Slack's limits and harmless, whatever the facts hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.intake import PICK_REPOSITORY
from bot.slack.render import duration, render

Json = dict[str, Any]
words = st.text(max_size=60) | st.sampled_from(
    [
        "<!channel>",
        "<@U0ADASAMPL>",
        "`",
        "```",
        "x" * 5000,
        "&" * 4000,
        "a\u202eb",
        "\n\n",
        "*_~",
        "</context>",
    ]
)
repository = st.from_regex(r"[a-z]{1,39}/[a-z.-]{1,100}", fullmatch=True)
url = st.integers(1, 10**9).map(lambda n: f"https://example.com/acme/storefront/pull/{n}")
pull = st.fixed_dictionaries(
    {
        "url": url,
        "number": st.integers(1, 10**9),
        "title": words,
        "repository": repository,
        "opener": words,
        "updated": st.booleans(),
    }
)
file = st.fixed_dictionaries(
    {
        "path": words,
        "status": st.sampled_from(["added", "modified", "deleted", "renamed"]),
        "added": st.integers(0, 10**6),
        "deleted": st.integers(0, 10**6),
    }
)
final = st.fixed_dictionaries(
    {
        "kind": st.just("final"),
        "outcome": st.sampled_from(["done", "failed", "stopped"]),
        "prompt_id": st.integers(1),
        "message_ts": st.none() | st.just("1.2"),
        "author": st.just("U0ADASAMPL"),
        "repository": st.none() | repository,
        "agent": words,
        "summary": words,
        "error": words,
        "by": st.just("U0BENSAMPL"),
        "kept": words,
        "files": st.lists(file, max_size=40),
        "commands": st.lists(st.fixed_dictionaries({"command": words, "ok": st.booleans()}), max_size=30),
        "pull_request": st.none() | pull,
        "notes": st.lists(words, max_size=12),
        "seconds": st.floats(-5, 10**6),
    }
)
question = st.fixed_dictionaries(
    {
        "kind": st.just("question"),
        "prompt_id": st.integers(1, 10**6),
        "reason": words,
        "options": st.lists(
            st.fixed_dictionaries({"name": repository, "description": words}), min_size=1, max_size=120
        ),
    }
)
others = st.one_of(
    st.fixed_dictionaries({"kind": st.just("opening"), "repository": repository, "reason": words}),
    st.fixed_dictionaries(
        {"kind": st.just("answered"), "repository": repository, "by": st.just("U0ADASAMPL")}
    ),
    st.just({"kind": "withdrawn"}),
    st.fixed_dictionaries({"kind": st.sampled_from(["queued", "refused"]), "position": st.integers(1, 999)}),
)


def texts(value: Any) -> Iterator[Json]:
    """Every text object in some blocks."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def assert_slack_takes(text: str, blocks: list[Json]) -> None:
    """Slack's published limits of Block Kit, as far as we use it."""
    assert text.strip()
    assert len(text) <= 4000
    assert len(blocks) <= 50
    assert sum(len(block["text"]) for block in blocks if block["type"] == "markdown") <= 12_000
    for block in blocks:
        if block["type"] == "section":
            assert 1 <= len(block["text"]["text"]) <= 3000
        if block["type"] == "context":
            assert 1 <= len(block["elements"]) <= 10
        pickers = [each for each in block.get("elements", []) if each["type"] == "static_select"]
        for picker in pickers:
            assert 1 <= len(picker["options"]) <= 100
            assert all(1 <= len(option["text"]["text"]) <= 75 for option in picker["options"])
            assert all(len(option["value"]) <= 150 for option in picker["options"])
            shown = [option["description"]["text"] for option in picker["options"] if "description" in option]
            assert all(1 <= len(each) <= 75 for each in shown)


def assert_obeys_nothing(value: Any) -> None:
    """Only our own mentions; no broadcast, and nothing that hides or turns the text."""
    for each in texts(value):
        if each["type"] == "plain_text":
            continue
        said = re.sub(r"<@U0(ADA|BEN)SAMPL>", "", each["text"]) if each["type"] == "mrkdwn" else each["text"]
        assert not re.search(r"<[!@#]", said)
        assert "\u202e" not in said


@given(final | question | others)
@pytest.mark.proof("output")
def test_every_post_is_within_slacks_limits_and_obeys_nothing(facts: Json) -> None:
    """Hostile words, files and options of any number and length."""
    text, blocks = render(facts)
    assert_slack_takes(text, blocks)
    assert_obeys_nothing(blocks)


def facts(**changes: Any) -> Json:
    """Of a turn that went well."""
    return {
        "kind": "final",
        "outcome": "done",
        "prompt_id": 1,
        "message_ts": "1.2",
        "author": "U0ADASAMPL",
        "repository": "acme/storefront",
        "agent": "scripted",
        "summary": "",
        "error": "",
        "by": "",
        "kept": "",
        "files": [],
        "commands": [],
        "pull_request": None,
        "notes": [],
        "seconds": 4.2,
        **changes,
    }


PULL = {
    "url": "https://example.com/acme/storefront/pull/7",
    "number": 7,
    "title": "Say <hello>",
    "repository": "acme/storefront",
    "opener": "ada-sample",
    "updated": False,
}


def test_a_final_message_says_all_that_was_done() -> None:
    """Pull request, files, commands, notes, who for, with what, how long."""
    files = [{"path": f"f{i}.txt", "status": "added", "added": i, "deleted": 0} for i in range(14)]
    commands = [{"command": "npm test", "ok": True}, {"command": "npm run lint", "ok": False}]
    made = facts(pull_request=PULL, files=files, commands=commands, notes=["opened as the bot"])
    text, blocks = render(made)
    shown = "\n".join(each["text"] for each in texts(blocks))
    assert (
        text
        == ":white_check_mark: Done. Pull request <https://example.com/acme/storefront/pull/7|#7> opened."
    )
    for part in (
        "Say &lt;hello&gt;",
        "*14 files changed*",
        "`f11.txt` new +11 −0",
        "…and 2 more",
        ":white_check_mark: `npm test`",
        ":x: `npm run lint`",
        ":warning: opened as the bot",
        "for <@U0ADASAMPL> · `acme/storefront` · agent `scripted` · 4 s",
    ):
        assert part in shown
    assert "f12.txt" not in shown
    [button] = next(block["elements"] for block in blocks if block["type"] == "actions")
    assert button["url"] == PULL["url"]


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({}, "*Finished.* Nothing changed in the repository, so there is no pull request."),
        ({"pull_request": {**PULL, "updated": True}}, "|#7> updated."),
        ({"outcome": "failed", "error": "No such <file>."}, "*This did not work.* No such &lt;file&gt;."),
        ({"outcome": "stopped", "by": "U0BENSAMPL", "kept": "Kept."}, "*Stopped* by <@U0BENSAMPL>. Kept."),
    ],
)
def test_the_headline_says_how_it_ended(changes: Json, headline: str) -> None:
    _, blocks = render(facts(**changes))
    assert headline in blocks[0]["text"]["text"]


@pytest.mark.proof("output")
def test_no_code_fence_of_an_agent_is_left_open() -> None:
    """A cut inside one would swallow what follows."""
    _, blocks = render(facts(summary="```\n" + "x\n" * 3000))
    assert blocks[1]["text"].count("```") % 2 == 0


def test_a_question_offers_what_can_be_answered() -> None:
    """The value names the prompt and the repository; an empty description is left out, as Slack wants."""
    options = [
        {"name": "acme/ledger", "description": ""},
        {"name": "acme/storefront", "description": "The shop"},
    ]
    _, blocks = render({"kind": "question", "prompt_id": 3, "reason": "Both fit.", "options": options})
    [picker] = blocks[1]["elements"]
    assert picker["action_id"] == PICK_REPOSITORY
    assert [option["value"] for option in picker["options"]] == ["3|acme/ledger", "3|acme/storefront"]
    assert "description" not in picker["options"][0]


def test_one_and_many_are_told_apart() -> None:
    assert "1 request ahead" in render({"kind": "queued", "position": 1})[0]
    assert "2 requests ahead" in render({"kind": "queued", "position": 2})[0]


def test_a_kind_nobody_renders_is_an_error() -> None:
    with pytest.raises(KeyError):
        render({"kind": "surprise"})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3720, "1 h 2 min"),
        (86400, "24 h 0 min"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_picker_says_what_it_cannot_list_and_how_to_name_it() -> None:
    """Slack takes a hundred options, and values of 150 characters."""
    names = ["acme/" + "x" * 145, *(f"acme/r{number}" for number in range(120))]
    options = [{"name": name, "description": ""} for name in names]
    facts = {"kind": "question", "prompt_id": 7, "reason": "Many fit.", "options": options}
    _, blocks = render(facts)
    [picker] = blocks[1]["elements"]
    assert [option["value"] for option in picker["options"]] == [f"7|acme/r{n}" for n in range(100)]
    words = blocks[2]["elements"][0]["text"]
    assert words.startswith("21 more repositories are not listed")
    assert "`repo=owner/name`" in words
    _, blocks = render(facts | {"options": options[:1]})
    assert [block["type"] for block in blocks] == ["section", "context"]
    assert blocks[1]["elements"][0]["text"].startswith("1 more repository is not listed")
    _, blocks = render(facts | {"options": options[1:3]})
    assert len(blocks[2]["elements"]) == 1

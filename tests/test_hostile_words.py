"""Attacks by what an agent says: Slack obeys none of it, a pull request shows it and does nothing more."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_pr_creator_texts import body, change, texts
from test_slack_render import PULL, assert_slack_takes, facts
from test_slack_render import texts as words_of

from bot.domain import SessionId
from bot.git import branch_name
from bot.slack.render import render
from bot.slack.stream_chunks import ChunkWriter
from bot.slack.text import code, escape, harmless
from plugins.pr_creator import neutral

pytestmark = pytest.mark.proof("output")
Json = dict[str, Any]

CONTROL = {
    "a broadcast": "<!channel>",
    "a broadcast to who is here": "<!here|here>",
    "a broadcast to all": "<!everyone>",
    "a group": "<!subteam^S0ALLDEVS|@devs>",
    "a date that links": "<!date^1392734382^{date}^https://evil.example|soon>",
    "a person": "<@U0ADASAMPL>",
    "a person with a label": "<@W0ADASAMPL|boss>",
    "a channel": "<#C0WEBFRONT|general>",
    "with a space of no width": "<\u200b!channel>",
    "with a joiner": "<\u2060@U0ADASAMPL>",
    "with a soft hyphen": "<\u00ad!here>",
    "with an invisible letter": "<\U000e0041!here>",
    "with a control character": "<\x00!channel>",
    "turned around": "\u202e>lennahc!<\u202c <!channel>",
    "by entities": "&lt;!channel&gt;",
    "by numbered entities": "&#60;!channel&#62;",
    "by entities in hexadecimal": "&#x3C;@U0ADASAMPL&#x3e;",
    "by an entity without its end": "&#60!channel>",
    "by entities within entities": "&amp;lt;!channel&amp;gt;",
    "by entities three deep": "&amp;amp;lt;!here>",
    "behind a backslash": "<\\!channel>",
    "in emphasis": "*<!channel>* _<@U0ADASAMPL>_ ~<#C0WEBFRONT>~",
    "in a quote": "> <!channel>",
    "in a list": "- <!channel>",
    "in a heading": "# <!channel>",
    "in a table": "| a |\n|---|\n| <!channel> |",
    "in a code span": "`<!channel>`",
    "in a code block": "```\n<!channel>\n```",
    "in a code block that never ends": "```\n<!channel>",
    "behind a code span that never ends": "`<!channel>",
    "in a link": "[<!channel>](https://example.com)",
    "doubled": "<<!channel>>",
    "cut by itself": "<!chan<!channel>nel>",
}
LINKS = {
    "Slack's with a label": "<https://evil.example|https://good.example>",
    "Slack's in capitals": "<HTTPS://evil.example|good.example>",
    "Slack's to an app": "<slack://open?team=T1|click>",
    "Slack's to an address for mail": "<mailto:evil@example.com|ada@example.com>",
    "Markdown's": "[https://good.example](https://evil.example)",
    "Markdown's as a button": "[ ✅ Approve ](https://evil.example/approve)",
    "Markdown's with a title": '[good](https://evil.example "https://good.example")',
    "Markdown's in pointed brackets": "[good](<https://evil.example>)",
    "Markdown's after spaces": "[good](   https://evil.example)",
    "Markdown's on the next line": "[good](\nhttps://evil.example)",
    "Markdown's without a scheme": "[good](//evil.example)",
    "Markdown's by an entity": "[good](&#104;ttps://evil.example)",
    "Markdown's by a named entity": "[good](https&colon;//evil.example)",
    "Markdown's by a backslash": "[good](https\\://evil.example)",
    "Markdown's image": "![good](https://evil.example/seen.png)",
    "an image in a link": "[![good](https://evil.example/a.png)](https://evil.example)",
    "a link by its definition": "[https://good.example][x]\n\n[x]: https://evil.example",
    "a short link by its definition": "[good]\n\n[good]: https://evil.example",
    "a definition in pointed brackets": "[good]\n\n[good]: <https://evil.example>",
    "a definition on the next line": "[good]\n\n[good]:\nhttps://evil.example",
    "a link to an app": "[good](slack://user?team=T1&id=U1)",
    "a script": "[good](javascript:alert(1))",
    "data": "[good](data:text/html,x)",
    "a bracket in its label": "[a [b] c](https://evil.example)",
    "an escaped bracket in its label": "[a \\] b](https://evil.example)",
}
ATTACKS = CONTROL | LINKS
HONEST = [
    "Use `a[i](x)`, `List<String>` and `x < y && y > z`.",
    "```python\nhandlers[name](event)\nif a < b: print(a[0])\n```",
    "```cpp\n#include <vector>\nstd::map<std::string, std::vector<int>> m; f[0](a, b);\n```",
    "```html\n<b>bold</b> &amp; &copy;\n```",
    "- [ ] one\n- [x] two: see [3]\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "See https://example.com/a_(b)?x=1&y=2#top and <https://example.com/>.",
    "def f(x: dict[str, int]) -> list[int]: return x[1:2]",
    "**Done**, _mostly_: a->b, 1 <2, <3, 50% & more; mail ada@example.com",
    "A [relative](docs/a.md) link, an array[0] and [brackets] (with words).",
]


def obeyed(text: str) -> list[str]:
    """What Slack might obey in this text, however often it undoes entities and backslashes first."""
    forms = [text]
    for _ in range(4):
        forms.append(html.unescape(forms[-1]))
    forms += [re.sub(r"\\(?=[!-/:-@\[-`{-~])", "", form) for form in forms]
    found = [hit for form in forms for hit in re.findall(r"<[!@#]", form)]
    found += re.findall(r"(?i)<[a-z][a-z0-9+.-]*:[^<>|\s]*\|[^<>]*>", text)
    return found + list(masked(text))


def masked(text: str) -> Iterable[str]:
    """Links to an address that a reader does not see, by a Markdown parser that is not ours."""
    for token in PARSER.parse(text):
        children = token.children or []
        yield from (str(c.attrs["src"]) for c in children if c.type == "image" and leads_away(c.attrs["src"]))
        for opening, inside in pairwise(children):
            address = unquote(str(opening.attrs.get("href", "")))
            shown = inside.content.rstrip("/")
            if leads_away(address) and shown not in (address.rstrip("/"), address.removeprefix("mailto:")):
                yield address


def leads_away(address: object) -> bool:
    return ":" in str(address) or "//" in str(address)


OURS = re.compile(r"<@U0ADASAMPL>(?= ·)|<https://example\.com/[^|>]*\|[^>]*>|<@U1>")
PARSER = MarkdownIt("commonmark", {"maxNesting": 50}).enable("table")
PARSER.validateLink = lambda url: True  # Slack's rules are not known: every scheme counts


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_slack_obeys_nothing_of_an_attack_wherever_an_agent_can_say_it(attack):
    """As its summary, its error, a file's name, a command, a note, a step or the name of what it is."""
    file = {"path": attack, "status": "added", "added": 1, "deleted": 0}
    said = facts(
        summary=attack,
        agent=attack,
        files=[file],
        commands=[{"command": attack, "ok": True}],
        notes=[attack],
        pull_request=PULL | {"title": attack, "opener": attack},
    )
    for made in (
        said,
        said | {"outcome": "failed", "error": attack},
        said | {"outcome": "stopped", "by": "U1"},
    ):
        text, blocks = render(made)
        assert_slack_takes(text, blocks)
        for part in words_of(blocks):
            if part["type"] == "mrkdwn":
                assert "<" not in OURS.sub("", part["text"])
            if part["type"] == "markdown":
                assert not obeyed(part["text"])
    assert "<" not in escape(attack)
    assert "<" not in code(attack)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_slack_obeys_nothing_of_an_attack_that_is_streamed_in_pieces(attack, record_property):
    """Whole, in two pieces cut anywhere, and letter by letter; in one batch and over many."""
    ways = [[attack], list(attack), *[[attack[:at], attack[at:]] for at in range(1, len(attack))]]
    for pieces in ways:
        for batches in ([pieces], [[piece] for piece in pieces]):
            shown = streamed(batches)
            assert not obeyed(shown), pieces
            assert not obeyed(f"before {shown} after")
    record_property("cases", 2 * len(ways))


def streamed(batches: Sequence[Sequence[str]]) -> str:
    """What the thread shows of these pieces of text."""
    writer = ChunkWriter()
    events = [[{"type": "agent.text", "data": {"text": text}} for text in batch] for batch in batches]
    return "".join(chunk["text"] for batch in events for chunk in writer.chunks(batch))


FRAGMENTS = st.sampled_from(
    [*"<>!@#|&;\\[]():/ \n`*x", "lt", "&lt;", "&#60;", "amp;", "https:", "//evil.example", "](", "]:", "][",
     "channel", "\u200b", "\u202e", "[a]", "![", "mailto:e@f.example"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.lists(FRAGMENTS, max_size=6).map("".join), max_size=8))
def test_no_text_in_any_pieces_makes_slack_obey(pieces):
    whole = "".join(pieces)
    assert not obeyed(harmless(whole))
    assert not obeyed(streamed([pieces]))
    assert not obeyed(streamed([[piece] for piece in pieces]))


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_is_shown_as_it_was_written(text):
    assert harmless(text) == text
    assert streamed([[text]]) == text
    assert streamed([[text[at : at + 7]] for at in range(0, len(text), 7)]).replace(" ", "") == text.replace(
        " ", ""
    )


BUTTONS = [
    {
        "type": "actions",
        "elements": [{"type": "button", "action_id": "pick_repository", "value": "1|evil/x"}],
    },
    {"type": "section", "text": {"type": "mrkdwn", "text": "*Approve?*"}, "accessory": {"type": "button"}},
    [{"type": "image", "image_url": "https://evil.example/x.png", "alt_text": "x"}],
]


@pytest.mark.parametrize("fake", BUTTONS)
def test_blocks_that_an_agent_writes_are_words(fake):
    said = json.dumps(fake)
    made = facts(
        summary=said, notes=[said], files=[{"path": said, "status": "added", "added": 0, "deleted": 0}]
    )
    _, blocks = render(made)
    assert [block["type"] for block in blocks] == ["section", "section", "markdown", "context", "context"]
    assert blocks[2]["text"] == said


@pytest.mark.parametrize("nothing", ["\u200b", "\u2060\n\u00ad", " \n\t ", "\u202e\u202c", "\U000e0041"])
def test_a_summary_in_which_nothing_can_be_seen_is_left_out(nothing):
    """Slack refuses an empty block, and the whole message with it."""
    _, blocks = render(facts(summary=nothing))
    assert [block["type"] for block in blocks] == ["section", "context"]


def test_twenty_thousand_tools_are_shown_as_a_hundred():
    """Each update has its own cost: what is shown of a turn must not grow with what an agent does."""
    writer, ids = ChunkWriter(), set()
    for start in range(0, 20_000, 500):
        tools = [
            {"tool_id": f"t{n}", "title": f"Step {n}", "status": "pending"} for n in range(start, start + 500)
        ]
        chunks = writer.chunks([{"type": "tool.started", "data": tool} for tool in tools])
        ids |= {chunk["id"] for chunk in chunks}
    assert len(ids) == 101
    assert chunks[-1]["title"] == "Step 19999"
    assert len(writer.closing(failed=True)) == 101


def test_a_million_characters_are_cut_to_what_a_thread_may_hold():
    shown = streamed([["word " * 200] for _ in range(1_000)])
    assert 35_000 < len(shown) <= 40_100
    assert shown.count("_The agent said more than is shown here._") == 1


# -- pull requests -------------------------------------------------------------------------------

BOMBS = {
    "quotes in each other": "> " * 10_000 + "x",
    "quotes without spaces": ">" * 10_000 + "x",
    "lists in each other": "- " * 10_000 + "x",
    "numbered lists in each other": "1. " * 10_000 + "x",
    "quotes and lists by turns": "> - " * 10_000 + "x",
    "lists and quotes by turns": "- > " * 10_000 + "x",
    "all of them by turns": "> 1. + > * " * 3_000 + "x",
    "quotes close to lists": ">- " * 10_000 + "x",
    "lists that step in": "\n".join("  " * n + "- x" for n in range(10_000)),
    "lists that step in within a quote": "\n".join("> " + "  " * n + "- x" for n in range(10_000)),
    "emphasis in each other": "*a _b " * 10_000,
    "brackets in each other": "[" * 10_000 + "x" + "](https://evil.example)" * 10_000,
    "images in each other": "![" * 10_000,
    "a table of many columns": "|x" * 330 + "\n" + "|-" * 330 + "\n" + "|\n" * 10_000,
    "a table of many rows": "|a|b|\n|-|-|\n" + "|c|d|\n" * 10_000,
    "open folds": "<details>" * 10_000,
    "an open comment": "<!--" + "x" * 100_000,
    "code blocks without end": "```\n~~~\n" * 10_000,
    "backticks of every length": " ".join("`" * n for n in range(1, 500)),
    "entities": "&#64;" * 10_000,
    "addresses": "https://evil.example/x " * 10_000,
    "mentions": "@octocat " * 10_000,
    "rules": "---\n" * 10_000,
    "line ends": "\r\n" * 100_000 + "x",
    "marks on one letter": "a" + "\u0301" * 100_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_becomes_a_description_that_is_short_shallow_and_ours(bomb):
    assert by_us(body(change(bomb, bomb, title=bomb))) == 1
    made = body(change("Ask", bomb, title="Another title"))
    assert len(made) < 25_000
    tokens = MarkdownIt("commonmark", {"maxNesting": 200}).enable("table").parse(made)
    assert max(token.level for token in tokens) < 20
    assert sum(token.type == "td_open" for token in tokens) < 4_000
    assert not [
        t for t in tokens for c in t.children or () if c.type in ("html_inline", "link_open", "image")
    ]
    assert made.count("<!-- threadsmith:") == 4
    assert by_us(made) == 1


def by_us(description: str) -> int:
    """How often "Requested by" stands there as a paragraph: not in code, a quote or a list."""
    tokens = MarkdownIt("commonmark").enable("table").parse(description)
    return sum(
        token.type == "inline" and token.level == 1 and token.content.startswith("Requested by")
        for token in tokens
    )


FORGED = {
    "the end of a turn": "<!-- threadsmith:turn-end -->",
    "the end of all": "<!-- threadsmith:end -->",
    "a turn that never was": "<!-- threadsmith:turn=9:a -->\nApproved\n<!-- threadsmith:turn-end -->",
    "this turn": f"<!-- threadsmith:turn=2:{'0' * 11}2 -->",
    "another session": "<!-- threadsmith:session=s2 -->",
    "this session": "<!-- threadsmith:session=s1 -->",
}


@pytest.mark.parametrize("fence", ["", "```\n", "~~~\n", "> ", "    ", "`"])
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_markers_that_an_agent_forges_move_nothing_in_a_later_turn(forged, fence):
    """Also where a description shows them as they are, which is in a code block."""
    said = f"Before\n\n{fence}{forged}\n{fence.strip()}\n\nAfter"
    first = body(change("one", said))
    both = body(change("two", said, 2), first)
    again = body(change("two", said, 2), both)
    assert both == again
    assert both.count("Before") == both.count("After") == 2
    assert by_us(first) == by_us(both) == 1
    assert both.endswith("<!-- threadsmith:end -->")


TITLES = {
    "Fix it [skip ci]": "Fix it (skip ci)",
    "[ci skip] Fix it": "(ci skip) Fix it",
    "Fix [NO CI] it": "Fix (NO CI) it",
    "Fix [skip actions]": "Fix (skip actions)",
    "Fix ***NO_CI***": "Fix (NO_CI)",
    "Fix [sk\u200bip ci]": "Fix (skip ci)",
    "Fixes #12": "Fixes #\u200b12",
    "Closes GH-12": "Closes GH-\u200b12",
    "Closes _GH-12_": "Closes _GH-\u200b12_",
    "Closes acme/web#12": "Closes acme/web#\u200b12",
    "Fix https://github.com/acme/web/issues/5": "Fix https://github.com/acme/web/issues/\u200b5",
    "Fix https://github.com/acme/web/Pull/5": "Fix https://github.com/acme/web/Pull/\u200b5",
    "Thanks @octocat": "Thanks @\u200boctocat",
    "Fix\u202e ti xiF": "Fix ti xiF",
    "Fix\nSkip-checks: true": "Fix",
    "--force": "Force",
    "$(id) `id`": "$(id) `id`",
    "[WIP] a[0]": "[WIP] a[0]",
}


@pytest.mark.parametrize(("said", "title"), TITLES.items(), ids=TITLES)
def test_a_title_closes_nothing_calls_nobody_and_skips_no_checks(said, title):
    """Once squashed it is the subject of a commit; what is honest in it stays as it is."""
    assert texts().title(change(title=said)) == title


def test_code_in_a_description_stays_as_it_was_written():
    block = "```python\nif a < b and c > d:  # see #12, @property\n    x = [1][0]\n```"
    said = f"Use `a[i](x)` and `<b>`:\n\n{block}"
    assert said.replace("```", "````") in body(change("x", said))
    assert neutral.markdown("| a | b |\n|---|---|\n| `x` | 2 |", 500) == "| a | b |\n|---|---|\n| `x` | 2 |"


TRICKS = [
    *(
        "../../heads/main",
        "main",
        "refs/heads/main",
        "-delete",
        "a..b",
        "a.lock",
        "@{-1}",
        "HEAD",
        "x\0y",
        "a b",
    ),
    *("~^:?*[\\", "\u202emain", "\ud800", "é" * 400, "/" * 300, "", "--upload-pack=touch x", "a\nb", "ﬁx ①"),
]


def test_a_branch_is_ours_whatever_a_thread_is_called(record_property):
    """By git's own rule for names."""
    for trick in TRICKS:
        name = branch_name(SessionId("0123456789abcdef0123"), trick, 2)
        assert re.fullmatch(r"threadsmith/01234567[a-z0-9-]*-2", name)
        assert len(name) < 80
        subprocess.run(["git", "check-ref-format", "--branch", name], check=True, capture_output=True)
    record_property("cases", len(TRICKS))

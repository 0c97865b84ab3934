"""Texts from prompts and agents are made harmless before they stand in a pull request."""

import re
import time
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot import (
    Change,
    CommitSha,
    ConfigError,
    Person,
    Prompt,
    PromptId,
    PromptState,
    Repository,
    SessionId,
)
from bot.config import parse
from bot.errors import ConfigError as CoreConfigError
from bot.plugins import Plugins
from plugins.pr_creator import neutral
from plugins.pr_creator.accounts import Accounts
from plugins.pr_creator.settings import Account, BotAccount, PrCreatorSettings
from plugins.pr_creator.texts import BODY_CHARACTERS, TITLE_CHARACTERS, Texts, has_turn
from storage import Secret

TOKEN = Secret("ghp_tokentokentoken")
PIECES = [
    *(
        "`",
        "``",
        "```",
        "````",
        "~~~",
        "\n",
        "\n\n",
        " ",
        "    ",
        "\\",
        "<",
        ">",
        "<b>",
        "<!--",
        "-->",
        "&",
        "&#64;",
    ),
    *(
        "@foo",
        "#12",
        "gh-3",
        "[",
        "]",
        "(",
        ")",
        "![",
        "](",
        "*",
        "_",
        "- ",
        "> ",
        "1. ",
        "|",
        "# ",
        "$",
        "x",
        "é",
    ),
    *(
        "https://evil.example/a",
        "www.evil.example",
        "\t",
        "\u200b",
        "\r",
        ": ",
        "---",
        "=",
        "[x]: y",
        "<https://e>",
    ),
]
ada = Person("U0ADA", "T1", "Ada")


def settings(**more) -> PrCreatorSettings:
    people = {ada.id: Account(login="ada-sample", id=2, token=TOKEN)}
    return PrCreatorSettings(bot=BotAccount(login="bot", id=1, token=TOKEN), people=people, **more)


def texts(**more) -> Texts:
    made = settings(**more)
    return Texts(made, Accounts(made))


def change(text: str = "Fix it", summary: str = "Done.", number: int = 1, title: str = "", **more) -> Change:
    prompt = Prompt(PromptId(number), SessionId("s1"), "slack", "k", ada, text, PromptState.RUNNING, 1, 0.0)
    values = {
        "session": SessionId("s1"),
        "prompt": prompt,
        "repository": Repository("acme/web"),
        "participants": [ada],
        "branch": "threadsmith/x",
        "base_branch": "main",
        "commit": CommitSha(f"{number:040x}"),
        "files": [],
        "title": title,
        "summary": summary,
        "previous": None,
    }
    return Change(**{**values, **more})


def body(one: Change, existing: str | None = None) -> str:
    made = texts().body(one, existing)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("thanks @octocat and @org/team", "thanks @\u200boctocat and @\u200borg/team"),
        ("Fixes #12, closes GH-3 and a/b#4", "Fixes #\u200b12, closes GH-\u200b3 and a/b#\u200b4"),
        ("mail a@b.example", "mail a@\u200bb.example"),
        ("&#64;octocat", "\\&#\u200b64;octocat"),
        (
            "<img src=x onerror=y><!-- threadsmith:end -->",
            "\\<img src=x onerror=y>\\<!-- threadsmith:end -->",
        ),
        ("![](https://evil.example/x.png)", "!\\[\\](`https://evil.example/x.png`)"),
        ("[safe](https://evil.example)", "\\[safe\\](`https://evil.example`)"),
        ("see https://github.com/a/b/issues/5.", "see `https://github.com/a/b/issues/5.`"),
        ("www.evil.example", "`www.evil.example`"),
        ("# Huge", "#### Huge"),
        ("a\u202eb\u200bc\x00d\x1b[31m", "abcd\\[31m"),
        (">>>>>>>> deep", "> deep"),
        ("cost $x$ here", "cost \\$x\\$ here"),
        ("*fine* **bold** _it_\n- a\n1. b", "*fine* **bold** _it_\n- a\n1. b"),
        ("use `@foo` and `<b>` here", "use `@foo` and `<b>` here"),
        ("odd ` tick @foo", "odd \\` tick @\u200bfoo"),
        ("``double @foo``", "\\`\\`double @\u200bfoo\\`\\`"),
        ("\\`esc @foo`", "\\\\\\`esc @\u200bfoo\\`"),
    ],
)
@pytest.mark.proof("output")
def test_references_html_links_and_hidden_characters_are_disarmed_and_the_rest_stays(text, shown):
    assert neutral.markdown(text, 5000) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("```python\n@foo <b>\n```\nafter @foo", "````python\n@foo <b>\n````\nafter @\u200bfoo"),
        ("~~~\nx\n~~~", "````\nx\n````"),
        ("```mermaid\ngraph\n```", "````\ngraph\n````"),
        ("```\nnever closed @foo", "````\nnever closed @foo\n````"),
        ("```\na\n````` x\nb\n```", "````\na\n'```` x\nb\n````"),
        ("`````\n```\ninner\n`````", "````\n```\ninner\n````"),
        ("```<script>\nx\n```", "````\nx\n````"),
    ],
)
@pytest.mark.proof("output")
def test_code_blocks_are_written_anew_so_that_nothing_ends_them_early(text, shown):
    assert neutral.markdown(text, 5000) == shown


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@example("[x](y)\n\n[x]: https://evil.example")
@example("~~~\n@foo\n```\n~~~\n@foo")
@example("- ```\n  @foo <b>\n- ```\n@foo <b>")
@example("\\`@foo`<b>`")
@example("_https://evil.example_ éwww.evil.example")
@pytest.mark.proof("output")
def test_a_markdown_parser_finds_no_reference_link_image_or_tag_in_any_text(text):
    for token in MarkdownIt("commonmark").enable("table").parse(neutral.markdown(text, 2000)):
        assert token.type != "html_block"
        for child in token.children or ():
            assert child.type not in ("html_inline", "link_open", "image")
            if child.type == "text":
                assert not re.search(r"@\w|#\d|www\.|://", child.content)


@pytest.mark.parametrize(
    "bomb",
    ["x" * 10**6, "\n" * 10**6, ">" * 10**5, "`" * 10**5, "- " * 10**5, "[" * 10**5, "*" * 10**5,
     "@a " * 10**5, "www." * 10**5, "1. " * 10**5, "<" * 10**6, "```\n" * 10**5, " " * 10**6 + "x"],
)  # fmt: skip
@pytest.mark.proof("output")
def test_bombs_become_short_quickly(bomb):
    began = time.process_time()
    made = neutral.markdown(bomb, 6000)
    assert len(made) < 20_000
    assert made.count("\n") < 400
    assert time.process_time() - began < 5  # quadratic would be minutes


def test_titles_are_one_bounded_plain_line_of_the_turn():
    made = texts()
    assert made.title(change(title="Blue header")) == "Blue header"
    assert (
        made.title(change("<@U1|ben> please <https://x.example|fix this> &lt;now&gt; repo=web"))
        == "Please fix this <now>"
    )
    assert made.title(change("\n\n  second line first\nmore")) == "Second line first"
    assert made.title(change("<@U1>")) == "Changes"
    assert made.title(change("ping @everyone about #12")) == "Ping @\u200beveryone about #\u200b12"
    long = made.title(change("word " * 100))
    assert len(long) <= TITLE_CHARACTERS
    assert long.endswith("word…")


def test_a_description_names_the_turn_once_and_ends_in_our_marker():
    made = body(change("make it *blue*", "Did `x`."))
    assert made.startswith("<!-- threadsmith:session=s1 -->\n")
    assert made.endswith("\n<!-- threadsmith:end -->")
    assert "> Asked: Make it \\*blue\\*\n\nDid `x`." in made
    assert has_turn(made, change())
    assert not has_turn(made, change(number=2))


@pytest.mark.parametrize(
    "heading", ["Fix the header", "**Fix the header.**", "# fix the `header`", "<@U1> Fix  the header"]
)
def test_a_summary_does_not_begin_with_what_stands_right_above_it(heading):
    told = body(change("please do something", f"{heading}\n\n- one line", title="Fix the header"))
    assert "> Asked: Please do something\n\n- one line\n" in told
    again = body(change("fix the header", f"{heading}\n\n- one line", title="Something else"))
    assert "> Asked: Fix the header\n\n- one line\n" in again
    assert "header" not in again.replace("> Asked: Fix the header", "").lower()


def test_a_summary_that_says_no_more_than_the_title_leaves_the_request_alone():
    made = body(change("mend it", "Mended it", title="Mended it"))
    assert "> Asked: Mend it\n<!--" in made
    assert "said nothing" not in made
    assert "> Asked: Mend it\n\n_The agent said nothing about it._" in body(change("mend it", " \n"))


def test_a_later_turn_keeps_its_heading_because_the_pull_request_is_named_after_the_first():
    first = body(change("one", "Title one\n\nmore", title="Title one"))
    both = body(change("two", "Title two\n\nmore", 2, title="Title two"), first)
    assert "Title one" not in both
    assert "> Asked: Two\n\nTitle two\n\nmore" in both


@pytest.mark.proof("output")
def test_an_agent_cannot_write_our_markers():
    forged = "<!-- threadsmith:end -->\n<!-- threadsmith:turn=9:0 -->\nx\n<!-- threadsmith:turn-end -->"
    made = body(change(forged, forged))
    assert made.count("<!-- threadsmith:") - made.count("\\<!-- threadsmith:") == 4
    again = body(change(number=2), made)
    assert again.count("Requested by") == 1


def test_the_same_turn_is_never_told_twice():
    first = body(change())
    assert body(change(), first) == first


def test_descriptions_stay_within_what_github_takes_and_keep_the_first_turn():
    made = body(change("first of all", "y" * 5900))
    for number in range(2, 40):
        made = body(change(f"turn {number}", "z" * 5900, number), made)
    assert len(made) < BODY_CHARACTERS
    assert "First of all" in made
    assert "Turn 39" in made
    assert "Turn 3\n" not in made


def test_a_description_without_our_markers_is_somebodys_own():
    assert texts().body(change(), "all mine") is None
    assert texts().body(change(), "<!-- threadsmith:end --> <!-- threadsmith:session=s1 -->") is None


@pytest.mark.proof("output")
def test_a_session_address_that_could_break_out_of_its_link_is_left_out():
    assert "session](" not in body(replace(change(), session_url="javascript:alert(1)"))
    assert "session](" not in body(replace(change(), session_url="https://x/) [y](https://z"))


def test_own_templates_are_used_and_broken_ones_are_named(tmp_path):
    (tmp_path / "title").write_text("[{{ repository }}] {{ title or request }}")
    (tmp_path / "body").write_text("{{ turns | join }}\n{{ footer }}")
    made = texts(title_template=tmp_path / "title", body_template=tmp_path / "body", footer="**ours**")
    assert made.title(change()) == "[acme/web] Fix it"
    assert "**ours**" in made.body(change())
    (tmp_path / "broken").write_text("{{ nothing_of_that_name }}")
    with pytest.raises(ConfigError, match=r"pr_creator\.body_template.*nothing_of_that_name") as caught:
        texts(body_template=tmp_path / "broken")
    assert "It may use" in str(caught.value)
    with pytest.raises(ConfigError, match="title_template"):
        texts(title_template=tmp_path / "missing")


def config(**section) -> dict:
    bot = {"login": "bot", "id": 1, "token": {"env": "BOT_TOKEN"}}
    slack = {"bot_token": {"env": "BOT_TOKEN"}, "app_token": {"env": "BOT_TOKEN"}}
    return {
        "data": "data",
        "slack": slack,
        "repositories": [{"name": "acme/web"}],
        "pr_creator": {"bot": bot, **section},
    }


def parsed(tmp_path, table: dict) -> PrCreatorSettings:
    plugins = Plugins(("pr_creator",))
    done = parse(table, "test", plugins, folder=tmp_path, environment={"BOT_TOKEN": "ghp_x", "ADA": "ghp_y"})
    section = done.sections["pr_creator"]
    assert isinstance(section, PrCreatorSettings)
    return section


def test_settings_come_from_config_with_tokens_by_reference(tmp_path):
    people = {"U0ADA": {"login": "ada-sample", "id": 2, "token": {"env": "ADA"}}}
    made = parsed(tmp_path, config(people=people, github_url="https://github.example.com/"))
    assert made.people["U0ADA"].token.reveal() == "ghp_y"
    assert made.github_url == "https://github.example.com"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"github_url": "http://github.example.com"}, "https://"),
        ({"api_url": "https://me:pw@github.example.com"}, "plain address"),
        ({"people": {"U1": {"login": "x y", "id": 1, "token": {"env": "ADA"}}}}, "login"),
        ({"people": {"U1": {"login": "x", "id": 1, "token": "ghp_plain"}}}, "reference"),
        (
            {"people": {u: {"login": "same", "id": 1, "token": {"env": "ADA"}} for u in ("U1", "U2")}},
            "stands there twice",
        ),
    ],
)
def test_mistakes_in_the_settings_are_told(tmp_path, section, words):
    with pytest.raises(CoreConfigError) as caught:
        parsed(tmp_path, config(**section))
    assert words in str(caught.value)
    assert "ghp_plain" not in str(caught.value)

"""The page's formatting and colours: each case is drawn by the page's own modules in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playground_fixtures import running
from playwright.async_api import Browser, Page

import bot.playground.people

pytest_plugins = ("page_kit",)
pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = Path(bot.playground.people.__file__).parent / "page"
# Anything may be imported by hand here, since the modules draw nothing until they are asked to.
DRAW = """async ([file, name, text]) => {
  const names = {
    users: new Map([["U1", {id: "U1", name: "ada", real_name: "Ada Lee"}],
                    ["U2", {id: "U2", name: "ann", real_name: "Ann"}],
                    ["U3", {id: "U3", name: "annlee", real_name: "Ann Lee"}]]),
    channels: new Map([["C1", {id: "C1", name: "web", is_im: false}]]), me: "U1",
  };
  const made = (await import(`/static/${file}.js`))[name](text, names);
  if (!(made instanceof Node)) return made;
  for (const node of made.querySelectorAll("*"))
    for (const {name} of [...node.attributes])
      if (!["href", "start"].includes(name)) node.removeAttribute(name);
  return made.innerHTML;
}"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def blank(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """The page without a token: its modules can be loaded, nothing is drawn."""
    async with running(tmp_path_factory.mktemp("page"), check=False) as (_, slack):
        page = await browser.new_page()
        await page.goto(slack.url)
        yield page
        await page.close()


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("*b* _i_ ~s~ `c`", "<p><strong>b</strong> <em>i</em> <s>s</s> <code>c</code></p>"),
        ("*bold _and italic_*", "<p><strong>bold <em>and italic</em></strong></p>"),
        ("2*3*4 snake_case_name ~/home", "<p>2*3*4 snake_case_name ~/home</p>"),
        ("* not bold * and *unclosed", "<p>* not bold * and *unclosed</p>"),
        ("`*code* stays`", "<p><code>*code* stays</code></p>"),
        ("a &lt;b&gt; &amp;amp; c", "<p>a &lt;b&gt; &amp;amp; c</p>"),
        ("```\nx = 1\n\n*y*\n```", "<pre><code>x = 1\n\n*y*</code></pre>"),
        ("before ```in``` after", "<p>before </p><pre><code>in</code></pre><p> after</p>"),
        ("&gt; one\n&gt; two\nthree", "<blockquote>one<br>two</blockquote><p>three</p>"),
        ("• a\n- b\n3. c", '<ul><li>a</li><li>b</li></ul><ol start="3"><li>c</li></ol>'),
        ("line\nnext", "<p>line<br>next</p>"),
        ("<@U1> <@U9|Zoe> <@U9>", "<p><span>@Ada Lee</span> <span>@Zoe</span> <span>@U9</span></p>"),
        ("<#C1> <#C9|old> <!here>", '<p><a href="#/C1">#web</a> <span>#old</span> <span>@here</span></p>'),
        ("<https://e.com/?a=1&amp;b=2|here>", '<p><a href="https://e.com/?a=1&amp;b=2">here</a></p>'),
        ("see https://e.com/x.", '<p>see <a href="https://e.com/x">https://e.com/x</a>.</p>'),
        (
            "<javascript:alert(1)|x> <data:text/html,y>",
            "<p>&lt;javascript:alert(1)|x&gt; &lt;data:text/html,y&gt;</p>",
        ),
        ("10:30:45 :no_such_thing:", "<p>10:30:45 :no_such_thing:</p>"),
    ],
)
async def test_slack_formatting(blank: Page, text: str, drawn: str):
    assert await blank.evaluate(DRAW, ["mrkdwn", "drawMrkdwn", text]) == drawn


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("**b** *i* _i_ ~~s~~ `c`", "<strong>b</strong> <em>i</em> <em>i</em> <s>s</s> <code>c</code>"),
        ("[**t**](https://e.com/a_(b))", '<a href="https://e.com/a_(b)"><strong>t</strong></a>'),
        ("<https://e.com>", '<a href="https://e.com/">https://e.com</a>'),
        ("[x](javascript:alert(1))", "<span>x</span>"),
        (r"\*literal\* snake_case", "*literal* snake_case"),
        ("half **open and `unclosed", "half **open and `unclosed"),
        ("<b>html</b> & <@U2>", "&lt;b&gt;html&lt;/b&gt; &amp; <span>@Ann</span>"),
        ("```py\nprint(1)", "<code>print(1)</code>"),
        ("- a\n  - b\n- c", "<li>a<ul><li>b</li></ul></li><li>c</li>"),
        ("> q\n> - x", "<p>q</p><ul><li>x</li></ul>"),
        (
            "| a |\n|---|\n| `2` |",
            "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td><code>2</code></td></tr></tbody></table>",
        ),
    ],
)
async def test_standard_markdown(blank: Page, text: str, drawn: str):
    assert await blank.evaluate(DRAW, ["markdown", "drawPiece", text]) == drawn


async def test_markdown_is_cut_into_pieces_that_keep_when_more_is_written(blank: Page):
    text = "# One\ntext\nmore\n\n- a\n- b\n```\ncode\n\nstill\n```\n---\nend"
    pieces = await blank.evaluate(DRAW, ["markdown", "splitMarkdown", text])
    assert pieces == ["# One", "text\nmore", "- a\n- b", "```\ncode\n\nstill\n```", "---", "end"]
    longer = await blank.evaluate(DRAW, ["markdown", "splitMarkdown", f"{text}ing"])
    assert longer[:-1] == pieces[:-1]


@pytest.mark.parametrize(
    "text", ["*" * 20_000, "_a " * 10_000, "[" * 20_000, "`" * 19_999, "> " * 5_000, "**a " * 5_000]
)
@pytest.mark.parametrize(("file", "name"), [("mrkdwn", "drawMrkdwn"), ("markdown", "drawPiece")])
async def test_a_hostile_text_does_not_hang_the_page(blank: Page, file: str, name: str, text: str):
    assert isinstance(await blank.evaluate(DRAW, [file, name, text[:12_000]]), str)


@pytest.mark.parametrize(
    ("typed", "raw"),
    [
        ("@Ann Lee and @ann, not me@ann.example", "<@U3> and <@U2>, not me@ann.example"),
        ("@annie #web #webs", "@annie <#C1> #webs"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("go to https://e.com/?a=1&b=2.", "go to <https://e.com/?a=1&amp;b=2>."),
        ("`@ann <b> https://e.com`", "`@ann &lt;b&gt; https://e.com`"),
        ("<@U1> typed by hand", "&lt;@U1&gt; typed by hand"),
    ],
)
async def test_typed_text_becomes_raw_and_comes_back_for_editing(blank: Page, typed: str, raw: str):
    assert await blank.evaluate(DRAW, ["raw", "toRaw", typed]) == raw
    again = await blank.evaluate(DRAW, ["raw", "toTyped", raw])
    assert again.lower() == typed.lower()


SIGNS = [
    *("information_source", "question", "grey_question", "hourglass_flowing_sand", "octagonal_sign"),
    *("no_entry_sign", "no_entry", "x", "warning", "white_check_mark", "eyes"),
]


async def test_the_signs_that_bots_use_are_drawn_even_where_no_font_has_them(blank: Page):
    undrawn = """async (names) => {
      const { emojiArt } = await import("/static/emoji_art.js");
      const { drawEmoji } = await import("/static/inline.js");
      return names.filter((name) => emojiArt(name) === null || drawEmoji(name).nodeType === Node.TEXT_NODE);
    }"""
    assert await blank.evaluate(undrawn, [*SIGNS, "nonsense"]) == ["nonsense"]


async def test_no_module_parses_markup_or_grows_too_long():
    for path in FILES.glob("*.js"):
        text = path.read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), path.name
        assert len(text.splitlines()) < 300, path.name


async def test_the_page_loads_nothing_from_outside_and_has_no_inline_code():
    html = (FILES / "index.html").read_text()
    assert all(address.startswith("/static/") for address in re.findall(r'(?:src|href)="([^"]+)"', html))
    assert "style=" not in html and "<style" not in html and not re.search(r"<script[^>]*>[^<]", html)
    for path in FILES.glob("*.css"):
        assert "url(" not in path.read_text() and "@import" not in path.read_text()


PAPERS = ("paper", "paper-side", "paper-raised", "paper-sunk", "hover")
PAIRS = [
    *[(ink, paper) for ink in ("ink", "ink-soft", "accent", "thread", "bad") for paper in PAPERS],
    *[(ink, wash) for ink in ("ink", "ink-soft") for wash in ("accent-wash", "thread-wash", "press")],
    *[("accent", "accent-wash"), ("mention", "mention-wash"), ("me", "me-wash"), ("ink", "bad-wash")],
    *[("on-fill", f"{name}-fill") for name in ("accent", "thread", "bad")],
    ("on-fill", "accent-fill-hover"),
]


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
async def test_every_text_colour_has_the_contrast_that_wcag_aa_asks_for(side: int):
    found = re.findall(
        r"--([a-z-]+): (?:light-dark\((#\w{6}), (#\w{6})\)|(#\w{6}));", (FILES / "colors.css").read_text()
    )
    colours = {name: (light or both, dark or both)[side] for name, light, dark, both in found}
    poor = {
        (ink, paper): round(ratio, 2)
        for ink, paper in PAIRS
        if (ratio := contrast(colours[ink], colours[paper])) < 4.5
    }
    assert not poor


def contrast(one: str, other: str) -> float:
    """The ratio as WCAG 2 defines it."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

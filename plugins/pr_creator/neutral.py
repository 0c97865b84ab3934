"""Makes untrusted text harmless on GitHub: nobody is pinged, nothing linked, hidden, loaded or blown up.

The text stays readable as Markdown: emphasis, lists, headings and code keep working. Code is recognised by
its simplest forms only, and those are written anew, so that what is taken for code here is code there too.
"""

from __future__ import annotations

import re
import unicodedata

LINES = 150
LINE_CHARACTERS = 1000
# Letters that show nothing, and marks that pile up on one until they cover the lines around it.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_STORM = re.compile(f"({_MARK}{{3}}){_MARK}+")
_INVISIBLE = "\u200b"  # keeps `@name` and `#12` from being references, and shows nothing
_RENDERED_FENCES = frozenset({"mermaid", "math", "geojson", "topojson", "stl", "suggestion"})
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*([\w+#.-]{0,20})")
_CODE = re.compile(r"(?<![`\\])`([^`\n]+)`(?!`)")
_URL = re.compile(r"(?i)(?:(?:https?|ftp)://|www\.)[^\s`<>\"')\]]+")
_SPECIAL = re.compile(r"([\\<&\[\]$~`])")
_REFERENCE = re.compile(r"(?i)(@(?=\w)|#(?=\d)|(?<![a-z0-9])gh-(?=\d))")
# What a squash would carry into a commit message: orders to leave out checks, issues by their address.
_NO_CHECKS = re.compile(
    r"(?i)\[([^\[\]\n]*(?:skip|\bno[\s_-]*(?:ci|actions))[^\[\]\n]*)\]|\*+\s*(no_ci)\s*\*+"
)
_ISSUE_ADDRESS = re.compile(r"(?i)/(?:issues|pull|pulls|discussions)/(?=\d)")
_CONTAINER = r"(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ ]|$))"
_NESTED = re.compile(rf"^((?:[ ]*{_CONTAINER}){{3}})(?:[ ]*{_CONTAINER})+")
_TABLE_COLUMNS = 24
_INLINE_SPECIAL = re.compile(r"([*_])")


def visible(text: str) -> str:
    """`text` without control, format, private and surrogate characters; line ends and tabs become plain."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    shown = (c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs", "Cn"))
    return _STORM.sub(r"\1", "".join(c for c in shown if c not in _BLANK))


def one_line(text: str, most: int) -> str:
    """The first line that says something, plain text, cut at a word within `most` characters."""
    lines = (" ".join(line.split()) for line in visible(text[:20000]).split("\n"))
    line = next((line for line in lines if line), "")
    if len(line) <= most:
        return line
    cut = line[: most - 1]
    return (cut.rpartition(" ")[0] if " " in cut[most // 2 :] else cut).rstrip(" ,;:-") + "…"


def quiet(text: str) -> str:
    """Plain text in which `@name` and `#12` are no references."""
    return _REFERENCE.sub(lambda found: found[0] + _INVISIBLE, text)


def title(text: str) -> str:
    """`quiet`, and nothing that would close an issue or leave out checks once it is a commit's message."""
    text = _NO_CHECKS.sub(lambda found: f"({found[1] or found[2]})", text)
    return quiet(_ISSUE_ADDRESS.sub(lambda found: found[0] + _INVISIBLE, text))


def inline(text: str) -> str:
    """One line of untrusted plain text as Markdown that shows just these characters."""
    return "".join(
        part if is_code else _INLINE_SPECIAL.sub(r"\\\1", part)
        for part, is_code in _pieces(text.replace("`", "'"))
    )


def markdown(text: str, most: int) -> str:
    """Untrusted Markdown, at most about `most` characters, with every bomb and reference taken out."""
    out: list[str] = []
    fence = ""
    for line in _bounded(visible(text[: 4 * most]), most):
        opened = _FENCE.match(line)
        if fence:
            closes = opened and opened[1].startswith(fence) and not line.strip().strip(fence[0])
            out.append("````" if closes else line.replace("````", "'```"))
            fence = "" if closes else fence
        elif opened:
            fence = opened[1]
            language = opened[2].lower()
            out.append("````" + ("" if language in _RENDERED_FENCES else language))
        else:
            out.append(_prose(line))
    return "\n".join([*out, "````"] if fence else out).strip()


def _bounded(text: str, most: int) -> list[str]:
    lines = re.sub(r"\n{3,}", "\n\n", text.strip()).split("\n")
    kept: list[str] = []
    size = 0
    for line in lines[:LINES]:
        size += min(len(line), LINE_CHARACTERS) + 1
        if size > most:
            break
        kept.append(line[:LINE_CHARACTERS].rstrip())
    return kept if len(kept) == len(lines) else [*kept, "…"]


def _prose(line: str) -> str:
    """A line outside of code blocks: shallow and narrow, no HTML, links, images or references."""
    line = re.sub(r"^(?:[ ]{0,3}>){2,} ?", "> ", line)
    line = re.sub(r"^([ >]*?) {12,}", r"\1" + " " * 12, line)
    line = re.sub(r"^ {0,3}#{1,6}(?=\s)", "####", line)
    line = re.sub(r"([*_=+-])\1{9,}", r"\1\1\1", line)
    line = _NESTED.sub(r"\1", line)
    if line.count("|") > _TABLE_COLUMNS:  # a row counts for as many cells as its table has columns
        line = line.replace("|", "¦")
    return "".join(part for part, _ in _pieces(line))


def _pieces(line: str) -> list[tuple[str, bool]]:
    """The line in safe parts, each with whether it is code. Addresses become code: not clickable."""
    parts: list[tuple[str, bool]] = []
    at = 0
    for found in _CODE.finditer(line) if "``" not in line else ():
        parts += _without_code(line[at : found.start()])
        parts.append((f"`{found[1]}`", True))
        at = found.end()
    return parts + _without_code(line[at:])


def _without_code(text: str) -> list[tuple[str, bool]]:
    parts: list[tuple[str, bool]] = []
    at = 0
    for found in _URL.finditer(text):
        parts += [(_escaped(text[at : found.start()]), False), (f"`{found[0]}`", True)]
        at = found.end()
    return [*parts, (_escaped(text[at:]), False)]


def _escaped(text: str) -> str:
    return quiet(_SPECIAL.sub(r"\\\1", text))

"""Title and description of a pull request: templates filled with texts that were made harmless first.

Our part of a description stands between two hidden markers. Each turn has a block of its own in it, so that a
later turn adds to what is there and what people wrote around it stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from bot import Change, ConfigError, Mistake, Person
from plugins.pr_creator import neutral

if TYPE_CHECKING:
    from plugins.pr_creator.accounts import Accounts
    from plugins.pr_creator.settings import PrCreatorSettings

TITLE_CHARACTERS = 80
REQUEST_CHARACTERS = 240
SUMMARY_CHARACTERS = 6000
BODY_CHARACTERS = 60_000  # GitHub takes 65 536
KEPT_TURNS = 12

_END = "<!-- threadsmith:end -->"
_TURN_END = "<!-- threadsmith:turn-end -->"
_TURN = re.compile(rf"<!-- threadsmith:turn=([\w:-]+) -->\n.*?\n{re.escape(_TURN_END)}", re.DOTALL)
_SLACK_NAME = re.compile(r"<[@!][^<>|]*(?:\|[^<>]*)?>")
_SLACK_LINK = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_OPTION = re.compile(r"(?i)(?<!\S)repo=\S+")


def marker(session: str) -> str:
    """The hidden line by which a session's pull request is found again."""
    return f"<!-- threadsmith:session={session} -->"


def turn_key(change: Change) -> str:
    return f"{change.prompt.id}:{change.commit[:12]}"


def has_turn(body: str, change: Change) -> bool:
    """Does this description already tell of this turn?"""
    return f"<!-- threadsmith:turn={turn_key(change)} -->" in body


class Texts:
    """Renders titles and descriptions. ConfigError when a template of config.toml is broken."""

    def __init__(self, settings: PrCreatorSettings, accounts: Accounts) -> None:
        self._settings = settings
        self._accounts = accounts
        # Markdown, not HTML: what is put in has been made harmless for Markdown, HTML escaping would show.
        environment = SandboxedEnvironment(
            undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
        )
        self._title = _template(environment, "title_template", settings.title_template, "pr_title.j2")
        self._body = _template(environment, "body_template", settings.body_template, "pr_body.j2")

    def title(self, change: Change) -> str:
        """One plain line: what was asked for, not where or by whom it was said."""
        rendered = self._title.render(
            title=_line(change.title, TITLE_CHARACTERS),
            request=_line(change.prompt.text, TITLE_CHARACTERS),
            repository=change.repository.name,
            session=change.session,
            files=len(change.files),
        )
        return neutral.title(neutral.one_line(rendered, TITLE_CHARACTERS)) or "Changes"

    def body(self, change: Change, existing: str | None = None) -> str | None:
        """The whole description; with `existing`, that one with this turn added.

        None when `existing` has lost our markers, because somebody rewrote it: then it is theirs.
        """
        if existing is None:
            return self._section(change, [])
        begin, end = existing.find(marker(change.session)), existing.rfind(_END)
        if begin < 0 or end < begin:
            return None
        ours = existing[begin:end]
        key = turn_key(change)
        earlier = [found[0] for found in _TURN.finditer(ours) if found[1] != key]
        return existing[:begin] + self._section(change, earlier) + existing[end + len(_END) :]

    def _section(self, change: Change, earlier: Sequence[str]) -> str:
        turns = [*_kept(earlier), self._turn(change, is_first=not earlier)]
        rendered = self._body.render(
            turns=turns,
            title=neutral.inline(_line(change.title, REQUEST_CHARACTERS)),
            request=neutral.inline(_line(change.prompt.text, REQUEST_CHARACTERS)),
            requester=self._name(change.prompt.author),
            co_requesters=self._others(change),
            session=change.session,
            session_url=_web_address(change.session_url),
            repository=change.repository.name,
            files=len(change.files),
            footer=self._settings.footer,
        )
        text = re.sub(r"\n{3,}", "\n\n", rendered.strip())
        return f"{marker(change.session)}\n{text}\n{_END}"

    def _turn(self, change: Change, *, is_first: bool) -> str:
        """What was asked, and what the agent said of it; nothing that stands right above it already."""
        request = _line(change.prompt.text, REQUEST_CHARACTERS)
        # The pull request is named after its first turn; the title of a later one is shown nowhere else.
        above = [request, _line(change.title, REQUEST_CHARACTERS)] if is_first else [request]
        summary = neutral.markdown(_without_heading(change.summary, above), SUMMARY_CHARACTERS)
        if not change.summary.strip():
            summary = "_The agent said nothing about it._"
        # Code blocks show what they hold as it is, and a later turn would take a marker in one for ours.
        summary = summary.replace("<!-- threadsmith:", "<!-- threadsmith\u200b:")
        parts = [f"> Asked: {neutral.inline(request)}" if request else "", summary]
        text = "\n\n".join(part for part in parts if part)
        return f"<!-- threadsmith:turn={turn_key(change)} -->\n{text}\n{_TURN_END}"

    def _others(self, change: Change) -> list[str]:
        names = [self._name(person) for person in change.participants if person.id != change.prompt.author.id]
        return list(dict.fromkeys(names))[:20]

    def _name(self, person: Person) -> str:
        """The login, which is a mention on purpose, or the plain name of those without one."""
        account = self._accounts.linked(person.id)
        return (
            f"@{account.login}"
            if account
            else neutral.inline(neutral.one_line(person.name, 60)) or "somebody"
        )


def _line(text: str, most: int) -> str:
    """The first line as plain text: no Slack names, links by their words, no `repo=`, no references."""
    text = _SLACK_NAME.sub(" ", text[:20000])
    text = _SLACK_LINK.sub(lambda found: found[2] or found[1], text)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    line = neutral.one_line(_OPTION.sub(" ", text), most).strip(" ,:;-")
    return neutral.quiet(line[:1].upper() + line[1:])


def _without_heading(text: str, above: Sequence[str]) -> str:
    """`text` without its first line where that only repeats one of the lines `above` it."""
    first, _, rest = text.strip().partition("\n")
    said = _plainly(_line(first, REQUEST_CHARACTERS))
    return rest if said and said in map(_plainly, above) else text


def _plainly(line: str) -> str:
    """For comparing: a line without emphasis, heading signs, closing full stop and capitals."""
    return " ".join(re.sub(r"[*_`#]", "", line).split()).rstrip(".:!").casefold()


def _kept(earlier: Sequence[str]) -> list[str]:
    """The first turn and the last ones, as many as fit; the first says what it is all about."""
    size = 0
    last: list[str] = []
    for block in reversed(earlier[1:][-KEPT_TURNS:]):
        size += len(block)
        if size > BODY_CHARACTERS // 2:
            break
        last.insert(0, block)
    first = [block for block in earlier[:1] if len(block) < BODY_CHARACTERS // 4]
    return [*first, *last]


def _web_address(url: str) -> str:
    """`url` when it can stand in a Markdown link as it is, else nothing."""
    return url if re.fullmatch(r"https?://[^\s()<>\[\]\"'`\\]{1,500}", url) else ""


def _template(
    environment: SandboxedEnvironment, key: str, path: Path | None, default: str
) -> jinja2.Template:
    where = Path(__file__).with_name(default) if path is None else path
    try:
        template = environment.from_string(where.read_text("utf-8"))
        template.render(dict.fromkeys(_VARIABLES, ""))
    except (OSError, UnicodeDecodeError, jinja2.TemplateError, TypeError) as error:
        fix = f"Mend the template or leave the key out. It may use: {', '.join(_VARIABLES)}."
        mistake = Mistake(f"pr_creator.{key}", "a readable Jinja template", f"{where}: {error}", fix)
        raise ConfigError([mistake]) from None
    return template


_VARIABLES = (
    *("turns", "title", "request", "requester", "co_requesters", "session", "session_url"),
    *("repository", "files", "footer"),
)

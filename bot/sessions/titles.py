"""What a turn's work is called: by a model where one is configured, else by its agent and its prompt."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain import FileChange, ModelAsk, Models, Prompt, Repository, Spender
from bot.errors import ModelError
from bot.sessions.states import title_of

log = logging.getLogger(__name__)

SECONDS = 8.0
TITLE_CHARS = 72
SUMMARY_CHARS = 800
_TEXT_CHARS = 4000
_FILES = 50
_PATH_CHARS = 200
_INSTRUCTIONS = f"""\
You name the work of a coding agent for the pull request that people will review.
The data is one JSON object: "request" is what a person asked for, "agent" the agent's last words, "files"
what it changed, with lines added and deleted.
"title": one line of plain text in the imperative, at most {TITLE_CHARS} characters, in the language of the
request. "summary": one to three sentences for the reviewer: what changed and why, and what the agent says is
left to do. Claim nothing that the data does not say. No greetings, mentions, links or numbers of issues."""
_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "summary": {"type": "string"}},
    "required": ["title", "summary"],
    "additionalProperties": False,
}
_UNSHOWN = frozenset(("Cc", "Cf", "Co", "Cs", "Cn"))
_MARKUP = re.compile(r"[`*~<>\[\]|\\{}]|^[#\s>-]+|\w+://")
_REFERENCE = re.compile(r"(?<!\w)@+(?=\w)|#+(?=\d)|(?i:(?<!\w)gh-(?=\d))")


@dataclass(frozen=True, slots=True)
class Words:
    """`by_model` is false for what stands in where no model said it."""

    title: str
    summary: str
    by_model: bool = False


async def worded(
    models: Models, prompt: Prompt, repository: Repository, files: Sequence[FileChange], plain: Words
) -> Words:
    """A model's words for this work; `plain` where there is no model, or none that says anything of use."""
    if not models.ready:
        return plain
    spender = Spender(prompt.session, prompt.id, prompt.author.id, repository.name)
    try:
        reply = await models.ask(_ask(prompt, repository, files, plain.summary), spender)
    except ModelError as error:
        log.warning("no model named the work of session %s: %s", prompt.session, error)
        return plain
    if reply.data is None:
        log.warning("a model named the work of session %s in another form", prompt.session)
        return plain
    title = one_line(str(reply.data["title"]))
    summary = _shown(str(reply.data["summary"]))[:SUMMARY_CHARS].strip()
    return Words(title or plain.title, summary or plain.summary, by_model=bool(title))


def one_line(text: str) -> str:
    """A title without markup, addresses, mentions and numbers of issues; "" where nothing is left of it."""
    line = next((line for line in _shown(text).splitlines() if line.strip()), "")
    plain = _REFERENCE.sub("", _MARKUP.sub("", line))
    return title_of(plain.strip(" .,:;-\"'"), TITLE_CHARS)


def _shown(text: str) -> str:
    """Without characters that show nothing or turn the text around."""
    return "".join(c for c in text[:20_000] if c == "\n" or unicodedata.category(c) not in _UNSHOWN)


def _ask(prompt: Prompt, repository: Repository, files: Sequence[FileChange], said: str) -> ModelAsk:
    changed = [f"{each.path[:_PATH_CHARS]} +{each.added} -{each.deleted}" for each in files[:_FILES]]
    if len(files) > _FILES:
        changed.append(f"and {len(files) - _FILES} more")
    data = {
        "repository": repository.name,
        "request": prompt.text[:_TEXT_CHARS],
        "agent": said[-_TEXT_CHARS:],
        "files": changed,
    }
    return ModelAsk(
        purpose="title",
        instructions=_INSTRUCTIONS,
        text=json.dumps(data, ensure_ascii=False),
        schema=_SCHEMA,
        output_tokens=400,
        timeout_seconds=SECONDS,
    )

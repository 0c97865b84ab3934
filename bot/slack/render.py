"""What the thread shows, from the facts in an outbox row: pure functions to text and Block Kit.

All that comes from agents, repositories and people is escaped; Slack's block limits are kept here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.slack.block_kit import OPTIONS_LIMIT as _OPTIONS_LIMIT
from bot.slack.block_kit import Blocks
from bot.slack.block_kit import context as _context
from bot.slack.block_kit import section as _section
from bot.slack.intake import MOVE_REPOSITORY, PICK_REPOSITORY, WRONG_REPOSITORY
from bot.slack.question_blocks import render_question
from bot.slack.text import code, escape, harmless, link, shorten

__all__ = ["Blocks", "duration", "render"]

_TEXT_LIMIT = 3000  # of the notification; Slack shows no more of it anywhere
_SUMMARY_LIMIT = 800
_FILES_SHOWN = 12
_COMMANDS_SHOWN = 6
_VALUE_LIMIT = 150


def render(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    """The notification text and the blocks of one post. Raises KeyError for a kind nobody renders."""
    text, blocks = _RENDERERS[facts["kind"]](facts)
    return shorten(text, _TEXT_LIMIT), blocks


def _opening(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    text = f"Starting in {code(facts['repository'])} {escape(facts['reason'])}."
    section = _section(text)
    if facts.get("movable"):
        section["accessory"] = {
            "type": "button",
            "action_id": WRONG_REPOSITORY,
            "text": {"type": "plain_text", "text": "Wrong repository?"},
            "value": str(facts["prompt_id"]),
        }
    return text, [section]


def move_picker(prompt_id: int, text: str, options: Sequence[Mapping[str, Any]]) -> Blocks:
    """What one person alone is shown behind “Wrong repository?”."""
    listed, left = _listed(prompt_id, options)
    picker = _select(MOVE_REPOSITORY, "Move it to", listed)
    actions: Blocks = [{"type": "actions", "elements": [picker]}] if listed else []
    return [_section(escape(text)), *actions, *([_context(_unlisted(left))] if left else [])]


def _question(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    text = f"*Which repository do you mean?* {escape(facts['reason'])}"
    listed, left = _listed(facts["prompt_id"], facts["options"])
    picker = _select(PICK_REPOSITORY, "Find a repository", listed)
    actions = {"type": "actions", "block_id": f"question-{facts['prompt_id']}", "elements": [picker]}
    hints = ["Only people who asked in this thread can choose. Say `stop` to drop the request."]
    if left:
        hints.insert(0, _unlisted(left))
    return text, [_section(text), *([actions] if listed else []), _context(*hints)]


def _listed(prompt_id: int, options: Sequence[Mapping[str, Any]]) -> tuple[Blocks, int]:
    """The options that Slack takes, and how many are left."""
    made = [_option(prompt_id, option) for option in options]
    listed = [option for option in made if len(option["value"]) <= _VALUE_LIMIT][:_OPTIONS_LIMIT]
    return listed, len(made) - len(listed)


def _select(action_id: str, placeholder: str, options: Blocks) -> dict[str, Any]:
    return {
        "type": "static_select",
        "action_id": action_id,
        "placeholder": {"type": "plain_text", "text": placeholder},
        "options": options,
    }


def _option(prompt_id: int, option: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "text": {"type": "plain_text", "text": shorten(option["name"], 75)},
        "value": f"{prompt_id}|{option['name']}",
    }
    if option["description"]:
        shown["description"] = {"type": "plain_text", "text": shorten(option["description"], 75)}
    return shown


def _unlisted(count: int) -> str:
    are = "repository is" if count == 1 else "repositories are"
    return f"{count} more {are} not listed: to name one, start a new request with `repo=owner/name`."


def _answered(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    text = f"Repository: {code(facts['repository'])}, chosen by <@{facts['by']}>."
    return text, [_section(text)]


def _withdrawn(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    text = "This question is closed: the request was stopped."
    return text, [_section(text)]


def _queued(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    ahead = facts["position"]
    text = f"Queued: {ahead} request{'s' if ahead != 1 else ''} ahead of this one. It starts by itself."
    return text, [_context(text)]


def _refused(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    count, people = facts.get("count", 1), ", ".join(f"<@{each}>" for each in facts.get("people", ()))
    what = "this one" if count == 1 else f"the last {count} requests here"
    by = f" (from {people})" if people else ""
    text = (
        f"I did not take {what}{by}: {facts['position']} requests already wait in this thread. "
        f"Send {'it' if count == 1 else 'them'} again when some are done, or start a new thread."
    )
    return text, [_section(f":no_entry_sign: {text}")]


def _unusable(_: Mapping[str, Any]) -> tuple[str, Blocks]:
    text = (
        "I cannot go on in this thread: the record I keep of it cannot be read, and I do not begin another "
        "in its place. Whoever runs this bot finds in its log what to do. A new thread works."
    )
    return text, [_section(f":no_entry_sign: {text}")]


def _file_refused(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    name = code(shorten(str(facts.get("name") or "file"), 100))
    text = f":warning: The file {name} is not posted: {escape(str(facts['why']))}"
    return text, [_context(text)]


# -- the final message ---------------------------------------------------------------------------


def _final(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    """What counts comes first: the agent's own words were streamed already and may be long."""
    headline = _HEADLINES[facts["outcome"]](facts)
    blocks: Blocks = [_section(headline), *_pull_request(facts.get("pull_request"))]
    if facts.get("files"):
        blocks.append(_section(_files(facts["files"])))
    if facts.get("commands"):
        blocks.append(_section(_commands(facts["commands"])))
    if summary := _summary(facts.get("summary") or ""):
        blocks.append({"type": "markdown", "text": summary})
    blocks += [_context(f":warning: {escape(note)}") for note in facts.get("notes", [])[:5]]
    blocks.append(_context(_footer(facts)))
    return shorten(headline.replace("*", ""), 300), blocks


def _done_headline(facts: Mapping[str, Any]) -> str:
    pull = facts.get("pull_request")
    if pull is None:
        return (
            ":information_source: *Finished.* Nothing changed in the repository, so there is no pull request."
        )
    verb = "updated" if pull.get("updated") else "opened"
    return f":white_check_mark: *Done.* Pull request {link(pull['url'], '#' + str(pull['number']))} {verb}."


def _failed_headline(facts: Mapping[str, Any]) -> str:
    return f":x: *This did not work.* {escape(shorten(facts['error'], 1500))}"


def _stopped_headline(facts: Mapping[str, Any]) -> str:
    return f":octagonal_sign: *Stopped* by <@{facts['by']}>. {escape(facts['kept'])}"


_HEADLINES = {"done": _done_headline, "failed": _failed_headline, "stopped": _stopped_headline}


def _summary(text: str) -> str:
    """The agent's own Markdown, short, with no code fence left open and nothing that Slack obeys."""
    short = harmless(shorten(text, _SUMMARY_LIMIT)).strip()
    return short + "\n```" if short.count("```") % 2 else short


def _pull_request(pull: Mapping[str, Any] | None) -> Blocks:
    if pull is None:
        return []
    button = {
        "type": "button",
        "action_id": "open_pull_request",
        "text": {"type": "plain_text", "text": "Open pull request"},
        "url": pull["url"],
        "style": "primary",
    }
    text = f"*{link(pull['url'], pull['title'])}*\n{code(pull['repository'])} · by {code(pull['opener'])}"
    return [_section(text), {"type": "actions", "elements": [button]}]


def _files(files: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        f"• {code(f['path'])} {_MARKS.get(f['status'], '')}+{f['added']} −{f['deleted']}"
        for f in files[:_FILES_SHOWN]
    ]
    if len(files) > _FILES_SHOWN:
        shown.append(f"…and {len(files) - _FILES_SHOWN} more")
    return f"*{len(files)} file{'s' if len(files) != 1 else ''} changed*\n" + "\n".join(shown)


_MARKS = {"added": "new ", "deleted": "deleted ", "renamed": "renamed "}


def _commands(commands: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        f"{':white_check_mark:' if c['ok'] else ':x:'} {code(shorten(c['command'], 120))}"
        for c in commands[:_COMMANDS_SHOWN]
    ]
    if len(commands) > _COMMANDS_SHOWN:
        shown.append(f"…and {len(commands) - _COMMANDS_SHOWN} more")
    return "*Commands run*\n" + "\n".join(shown)


def _footer(facts: Mapping[str, Any]) -> str:
    parts = [f"for <@{facts['author']}>"]
    if facts.get("repository"):
        parts.append(code(facts["repository"]))
    if facts.get("agent"):
        parts.append(f"agent {code(facts['agent'])}")
    parts.append(duration(facts["seconds"]))
    if facts.get("usd") is not None:
        parts.append(dollars(facts["usd"]))
    return " · ".join(parts)


def _notice(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    return facts["text"], [_context(facts["text"])]


def dollars(usd: float) -> str:
    """A sum as people say it; a small one with as many digits as it takes to be seen."""
    return f"${usd:.2f}" if usd == 0 or usd >= 0.01 else f"${usd:.4f}"


def duration(seconds: float) -> str:
    """A span as people say it: "48 s", "3 min 5 s", "1 h 2 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


_RENDERERS = {
    "opening": _opening,
    "question": _question,
    "ask": render_question,
    "answered": _answered,
    "withdrawn": _withdrawn,
    "queued": _queued,
    "notice": _notice,
    "refused": _refused,
    "unusable": _unusable,
    "file_refused": _file_refused,
    "final": _final,
}

"""A question of a running turn as the thread sees it, open and closed. Pure, as all of rendering.

What is asked, and between what, are the agent's own words: escaped, and in buttons plain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.slack.block_kit import LABEL_LIMIT, OPTIONS_LIMIT, Blocks, code_block, context, plain, section
from bot.slack.intake import ANSWER, ANSWER_WORDS, WORDS_BLOCK
from bot.slack.text import code, escape, shorten

_BUTTONS = 5  # more are a list to pick from
_WORDS_LIMIT = 2000
_PATHS_SHOWN = 5
_WHO = "Only people who take part in this thread can answer."
_CLOSED = {
    "unanswered": ":hourglass_flowing_sand: Nobody answered, so the agent went on without an answer.",
    "withdrawn": "This question is closed: the agent does not wait for it any more.",
    "ended": "This question is closed: the request ended before it was answered.",
    "interrupted": "This question is closed: the bot was restarted. If it still matters, it is asked again.",
}


def render_question(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    """One that is open has what answers it; a closed one says what came of it, and nothing to press."""
    title, blocks = _asked(facts)
    if "outcome" not in facts:
        return title, [*blocks, *_answers(facts), context(*_hints(facts))]
    came = _answer(facts) if facts["outcome"] == "answered" else _CLOSED[facts["outcome"]]
    return f"{title}\n{came}", [*blocks, context(came)]


def _asked(facts: Mapping[str, Any]) -> tuple[str, Blocks]:
    if facts["asks"] == "permission":
        title = f"*May the agent do this?* {escape(facts['text'])}"
        return title.replace("*", ""), [section(f":warning: {title}"), *_tool(facts["tool"])]
    title = f"*The agent asks:* {escape(facts['text'])}"
    return title.replace("*", ""), [section(f":question: {title}"), *_long_answers(facts)]


def _tool(tool: Mapping[str, Any]) -> Blocks:
    """What a permission is for: the command, or the change, and where."""
    blocks: Blocks = []
    if shown := tool.get("command") or tool.get("diff"):
        blocks.append(code_block(shown))
    if paths := tool.get("paths"):
        more = f" and {len(paths) - _PATHS_SHOWN} more" if len(paths) > _PATHS_SHOWN else ""
        blocks.append(context(", ".join(code(shorten(path, 120)) for path in paths[:_PATHS_SHOWN]) + more))
    return blocks


def _long_answers(facts: Mapping[str, Any]) -> Blocks:
    """In full what a button has no room for."""
    if "outcome" in facts or all(len(label) <= LABEL_LIMIT for label in facts["options"]):
        return []
    return [section("\n".join(f"• {escape(label)}" for label in facts["options"]))]


def _answers(facts: Mapping[str, Any]) -> Blocks:
    labels, blocks = facts["options"][:OPTIONS_LIMIT], []
    if labels:
        elements = _buttons(facts, labels) if len(labels) <= _BUTTONS else [_picker(labels)]
        blocks.append({"type": "actions", "block_id": facts["key"], "elements": elements})
    if facts["free_text"]:
        blocks.append(_field(facts["key"], bool(labels)))
    return blocks


def _buttons(facts: Mapping[str, Any], labels: list[str]) -> Blocks:
    styles = dict(facts["tool"].get("styles") or {})
    return [
        {
            "type": "button",
            "action_id": f"{ANSWER}_{place}",
            "text": plain(label),
            "value": str(place),
            **({"style": styles[label]} if label in styles else {}),
        }
        for place, label in enumerate(labels)
    ]


def _picker(labels: list[str]) -> dict[str, Any]:
    options = [{"text": plain(label), "value": str(place)} for place, label in enumerate(labels)]
    return {
        "type": "static_select",
        "action_id": ANSWER,
        "placeholder": plain("Choose an answer"),
        "options": options,
    }


def _field(key: str, alone: bool) -> dict[str, Any]:
    """Sent with the Enter key, as a click is: a reply in the thread stays what it is, a new request."""
    return {
        "type": "input",
        "block_id": f"{key}{WORDS_BLOCK}",
        "dispatch_action": True,
        "label": plain("Or in your own words" if alone else "Your answer"),
        "element": {
            "type": "plain_text_input",
            "action_id": ANSWER_WORDS,
            "max_length": _WORDS_LIMIT,
            "dispatch_action_config": {"trigger_actions_on": ["on_enter_pressed"]},
        },
    }


def _hints(facts: Mapping[str, Any]) -> list[str]:
    covers = facts["tool"].get("covers")
    return [*([escape(covers)] if covers else []), f"{_WHO} Say `stop` to end the request."]


def _answer(facts: Mapping[str, Any]) -> str:
    refused = facts["tool"].get("styles", {}).get(facts["answer"]) == "danger"
    mark = ":no_entry_sign:" if refused else ":white_check_mark:"
    return f"{mark} *{escape(' '.join(facts['answer'].split()))}*, said <@{facts['by']}>."

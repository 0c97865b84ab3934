"""What an agent reads of the session's own tools. A model chooses by these words, so they are exact."""

from __future__ import annotations

from typing import Any

INSTRUCTIONS = (
    "These tools reach the Slack thread that this work was asked for in, and nothing else. People there read "
    "your messages as you write them; ask only what you cannot decide yourself."
)


def _tool(name: str, title: str, words: str, first: str, properties: dict[str, Any]) -> dict[str, Any]:
    """`first` is the one property that has to be given."""
    schema = {"type": "object", "properties": properties, "required": [first], "additionalProperties": False}
    return {"name": name, "title": title, "description": words, "inputSchema": schema}


def _text(most: int, words: str = "", least: int = 1) -> dict[str, Any]:
    said = {"description": words} if words else {}
    return {"type": "string", "minLength": least, "maxLength": most, **said}


TOOLS = [
    _tool(
        "ask",
        "Ask the thread",
        "Ask the people in the thread one question and wait for the answer. With options they choose one of "
        "them; without, they answer in their own words. If the result says that nobody has answered yet, "
        "call it again with the same question and options to go on waiting.",
        "question",
        {"question": _text(2000), "options": {"type": "array", "maxItems": 100, "items": _text(300)}},
    ),
    _tool(
        "post_file",
        "Post a file in the thread",
        "Post one file in the thread, for people to look at: a screenshot, a report, a log. At most 8 MiB. "
        "Changes to the repository need not be posted, they are shown as a pull request.",
        "path",
        {"path": _text(4096, "Where the file is."), "title": _text(200, least=0)},
    ),
    _tool(
        "open_pull_request",
        "Word the pull request",
        "Say what the pull request of this work shall be called and what its description shall say. It is "
        "opened for you, once you are done and if anything changed; where it goes is not yours to choose.",
        "title",
        {
            "title": _text(200, "One line, imperative."),
            "note": _text(8000, "Markdown for its description.", 0),
        },
    ),
]

"""The scripted agent's last words: one line fit for a title, then what happened."""

from __future__ import annotations

from collections.abc import Sequence

from .steps import Step
from .words import HINTS, NotUnderstood

WHO = "I am the scripted agent, not a model: I do the few things I understand, word for word."
TITLE = 72
FORMS = "\n".join(f"- {form}" for form in HINTS.values())
WHAT = (
    f"I understand:\n{FORMS}\n\n"
    "Join several of them by “then”. Without `in path/to/file`, `replace` looks in every text file."
)


def done(steps: Sequence[Step], details: Sequence[str]) -> str:
    """Everything was done."""
    return f"{title(steps)}\n\n{_listed(details)}\n\n_{WHO}_"


def failed(steps: Sequence[Step], details: Sequence[str], problem: str, advice: str) -> str:
    """The step after those of `details` could not be done, and the rest was not begun."""
    at = len(details)
    which = (
        f"step {at + 1} of {len(steps)}, “{steps[at].title}”," if len(steps) > 1 else f"“{steps[at].title}”"
    )
    changed = [step for step in steps[:at] if step.changes]
    head = (
        f"{title(changed)} (stopped at step {at + 1} of {len(steps)})"
        if changed
        else f"Could not: {steps[at].title}"
    )
    parts = [head, f"I stopped because {which} failed: {problem}"]
    if advice:
        parts.append(f"What to do: {advice}")
    parts.append(f"Done before that:\n{_listed(details)}" if details else "Nothing was changed.")
    left = [f"- {step.title}" for step in steps[at + 1 :]]
    if left:
        parts.append("Not done:\n" + "\n".join(left))
    return "\n\n".join([*parts, f"_{WHO}_"])


def not_understood(error: NotUnderstood) -> str:
    piece = " ".join(error.piece.split())
    shown = piece if len(piece) <= 200 else piece[:199] + "…"
    hint = f"\n\n{error.hint}" if error.hint else ""
    return f"I did not understand: {shown}\n\nNothing was changed. {WHO}{hint}\n\n{WHAT}"


def help_text() -> str:
    return f"{WHO}\n\n{WHAT}"


def title(steps: Sequence[Step]) -> str:
    """One line for all of it; what changes files says more than what does not."""
    named = [step for step in steps if step.changes] or list(steps)
    first = named[0].title
    if len(named) == 1:
        return first
    joined = f"{first} and {named[1].title[0].lower()}{named[1].title[1:]}"
    if len(named) == 2 and len(joined) <= TITLE:
        return joined
    return f"{first} and {len(named) - 1} more"


def _listed(details: Sequence[str]) -> str:
    return "\n".join(f"- {detail}" for detail in details)

"""The ladder from a message to a repository, as pure functions: each step decides, asks, or passes.

Every step sees only the repositories that the author may use, so what it says can give no other away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bot import Repository, RepositoryAsk, RepositoryChoice, RepositoryQuestion, RepositoryStep

CANDIDATES = 5
SHOWN_CHARS = 100

Verdict = RepositoryChoice | RepositoryAsk
Step = Callable[[RepositoryQuestion], Verdict | None]

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?"  # so that a full stop after a name is not of it
_ASSIGNED = re.compile(rf"(?<![\w=])repo\s?=\s?[`\"'<]*({_PART}(?:/{_PART})?)", re.IGNORECASE)
_PLACED = re.compile(rf"(?<!\w)in\s+`?({_PART}/{_PART})(?![\w/])", re.IGNORECASE)
_MENTIONED = re.compile(rf"(?<![\w./-])({_PART}/{_PART})(?![\w/])")
_LINKED = re.compile(rf"https?://[\w.:-]{{1,100}}/({_PART}/{_PART})(?!\w)")
_WORD = re.compile(r"[^\W_]{3,}")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "add and are but can for fix from has have into its make new not our please put repo repository "
        "that the this use was what when where which will with you your",
    )
)


@dataclass(frozen=True, slots=True)
class Settled:
    """Somebody said which one is meant, or has to be asked whatever a model would say."""

    step: str
    verdict: Verdict
    open: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Open:
    """Nobody said which one is meant, so that something else may guess it before people are asked."""

    step: str
    verdict: RepositoryAsk
    open: Literal[True] = True


def choose(question: RepositoryQuestion) -> Verdict:
    """Climb the ladder; at its top stands the question, with the likeliest candidates first."""
    return climb(question).verdict


def climb(question: RepositoryQuestion) -> Settled | Open:
    """The first step with a verdict, which may be that somebody has to be asked."""
    if not question.repositories:
        return Settled("nothing", RepositoryAsk("There is no repository here that you may use."))
    for step in LADDER:
        verdict = step(question)
        if isinstance(verdict, RepositoryAsk) and step in _HINTS:
            return Open(step.__name__, verdict)
        if verdict is not None:
            return Settled(step.__name__, verdict)
    return Open("asking", RepositoryAsk("I cannot tell which repository you mean.", ranked(question)))


def explain(question: RepositoryQuestion) -> list[RepositoryStep]:
    """Every step's own verdict, also of those behind the one that decided."""
    if not question.repositories:
        return [RepositoryStep("nothing", choose(question))]
    return [RepositoryStep(step.__name__, step(question)) for step in LADDER]


# -- the steps -----------------------------------------------------------------------------------


def answered(question: RepositoryQuestion) -> Verdict | None:
    """What a picker or a page already said."""
    name = question.prompt.repository
    if name is None:
        return None
    return _named(name, question, "because you chose it")


def assigned(question: RepositoryQuestion) -> Verdict | None:
    """`repo=owner/name` or `repo=name`: always meant, so an unknown one is asked about."""
    names = _distinct(_ASSIGNED.findall(question.prompt.text))
    if len(names) > 1:
        known = _all_known(names, question.repositories)
        return RepositoryAsk("You named more than one repository.", known or ranked(question))
    return _named(names[0], question, "because you named it") if names else None


def placed(question: RepositoryQuestion) -> Verdict | None:
    """`in owner/name`. A path may look the same, so an unknown one counts only with an owner we know."""
    names = _distinct(_PLACED.findall(question.prompt.text))
    known = _all_known(names, question.repositories)
    if len(known) == 1:
        return _chosen(known[0], question, "because you named it")
    if len(known) > 1:
        return RepositoryAsk("You named more than one repository.", known)
    owners = {_owner(repository.name) for repository in question.repositories}
    strays = [name for name in names if _owner(name) in owners]
    return _unknown(strays[0], question) if strays else None


def current(question: RepositoryQuestion) -> Verdict | None:
    """A thread stays where it is."""
    if question.current is None:
        return None
    if _find(question.current, question.repositories):
        return RepositoryChoice(question.current, "because this thread already works there")
    reason = "The repository of this thread is not one that you may use here."
    return RepositoryAsk(reason, ranked(question))


def mentioned(question: RepositoryQuestion) -> Verdict | None:
    """A full name or a link to it anywhere in the message."""
    text = question.prompt.text
    links = [link.removesuffix(".git") for link in _LINKED.findall(text)]
    known = _all_known(_distinct([*_MENTIONED.findall(text), *links]), question.repositories)
    if len(known) > 1:
        return RepositoryAsk("You mentioned more than one repository.", known)
    return RepositoryChoice(known[0], "because you mentioned it") if known else None


def keyword(question: RepositoryQuestion) -> Verdict | None:
    """The repository with most of its keywords in the message; a tie is asked about."""
    hits = {each.name: keywords_in(question.prompt.text, each.keywords) for each in question.repositories}
    most = max(map(len, hits.values()))
    best = [name for name, found in hits.items() if len(found) == most]
    if most == 0:
        return None
    if len(best) > 1:
        return RepositoryAsk("Your words fit more than one repository.", tuple(best[:CANDIDATES]))
    return RepositoryChoice(best[0], f"because you wrote “{hits[best[0]][0]}”")


def channel_default(question: RepositoryQuestion) -> Verdict | None:
    """The repository that lists this channel, by id or by name."""
    place = {question.channel_id, question.channel_name.casefold()} - {""}
    names = [each.name for each in question.repositories if place & _channels(each)]
    if len(names) > 1:
        return RepositoryAsk("This channel belongs to more than one repository.", tuple(names[:CANDIDATES]))
    where = f"#{question.channel_name}" if question.channel_name else "this channel"
    return RepositoryChoice(names[0], f"because it is the repository of {where}") if names else None


def only_one(question: RepositoryQuestion) -> Verdict | None:
    """Nothing to choose."""
    if len(question.repositories) > 1:
        return None
    return RepositoryChoice(question.repositories[0].name, "because it is the only one you can use here")


LADDER: tuple[Step, ...] = (
    answered,
    assigned,
    placed,
    current,
    mentioned,
    keyword,
    channel_default,
    only_one,
)
# Steps that go by hints. Where these ask, nobody named anything: what was named is never guessed at.
_HINTS = frozenset({keyword, channel_default})


# -- what they are made of -----------------------------------------------------------------------


def keywords_in(text: str, keywords: Sequence[str]) -> list[str]:
    """The keywords that stand in a text as whole words, upper and lower case alike."""
    folded = text.casefold()
    return [
        word
        for word in keywords
        if re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", folded) is not None
    ]


def ranked(question: RepositoryQuestion) -> tuple[str, ...]:
    """The likeliest repositories by the words they share with the message, and less so with the thread."""
    scores = scored(question)
    fitting = [name for name, score in scores.items() if score > 0]
    return tuple(sorted(fitting, key=lambda name: -scores[name])[:CANDIDATES])


def scored(question: RepositoryQuestion) -> dict[str, int]:
    """How many telling words each repository shares with what was said."""
    said = words(question.prompt.text)
    around = words(" ".join(message.text for message in question.thread)) - said
    return {each.name: 2 * _overlap(said, each) + _overlap(around, each) for each in question.repositories}


def words(text: str) -> set[str]:
    """The telling words of a text: three letters or more, in their simplest form."""
    return {_stem(word) for word in _WORD.findall(text.casefold())} - _COMMON


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _overlap(said: set[str], repository: Repository) -> int:
    strong = words(" ".join((repository.short_name, *repository.keywords)))
    return 3 * len(said & strong) + len(said & (words(repository.description) - strong))


def _channels(repository: Repository) -> set[str]:
    """Ids as they are, names without their # and in lower case; an id in lower case is no channel's name."""
    listed = [channel.removeprefix("#") for channel in repository.channels]
    return set(listed) | {channel.casefold() for channel in listed}


def _named(name: str, question: RepositoryQuestion, reason: str) -> Verdict:
    found = _find(name, question.repositories)
    if len(found) == 1:
        return _chosen(found[0], question, reason)
    if found:
        return RepositoryAsk(f"More than one repository is called “{name[:SHOWN_CHARS]}”.", found)
    return _unknown(name, question)


def _chosen(name: str, question: RepositoryQuestion, reason: str) -> RepositoryChoice:
    """A choice that says so when it takes the thread elsewhere."""
    before = _find(question.current, question.repositories) if question.current else ()
    if question.current is None or name in before:
        return RepositoryChoice(name, reason)
    where = f"in `{before[0]}`" if before else "elsewhere"
    return RepositoryChoice(name, f"{reason} (this thread worked {where} until now)")


def _unknown(name: str, question: RepositoryQuestion) -> RepositoryAsk:
    """The same words for what does not exist and for what this author may not use."""
    reason = f"“{name[:SHOWN_CHARS]}” is no repository that you can use here."
    return RepositoryAsk(reason, ranked(question))


def _find(name: str, repositories: Sequence[Repository]) -> tuple[str, ...]:
    """The repositories of that full name, or of that short name where no owner is given."""
    names = [(each.name if "/" in name else each.short_name, each.name) for each in repositories]
    return tuple(full for own, full in names if own.casefold() == name.casefold())


def _all_known(names: Sequence[str], repositories: Sequence[Repository]) -> tuple[str, ...]:
    return tuple(_distinct([found for name in names for found in _find(name, repositories)]))


def _distinct(names: Sequence[str]) -> list[str]:
    """Each once, in order, upper and lower case alike."""
    seen: dict[str, str] = {}
    for name in names:
        seen.setdefault(name.casefold(), name)
    return list(seen.values())


def _owner(name: str) -> str:
    return name.partition("/")[0].casefold()

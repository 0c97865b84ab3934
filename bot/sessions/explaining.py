"""How a repository comes to be chosen, for those who ask why: the same hooks, and nothing is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.domain import (
    Person,
    Prompt,
    PromptId,
    PromptState,
    Repository,
    RepositoryAsk,
    RepositoryChoice,
    RepositoryQuestion,
    RepositoryStep,
    SessionId,
    ThreadMessage,
)
from bot.plugins import Plugins


async def with_facts(plugins: Plugins, repository: Repository) -> Repository:
    """With what plugins know of it in its description."""
    answers = await plugins.call("repository_facts", repository=repository)
    facts = [repository.description, *(str(answer.value) for answer in answers if answer.value)]
    return replace(repository, description=" ".join(fact for fact in facts if fact))


async def question_of(
    plugins: Plugins,
    text: str,
    author: Person,
    repositories: Sequence[Repository],
    *,
    channel_id: str = "",
    channel_name: str = "",
    thread: Sequence[ThreadMessage] = (),
) -> RepositoryQuestion:
    """The question that a first message with this text would be. `repositories`: those the author may use."""
    state = PromptState.RUNNING
    session = SessionId(f"explain-{author.id}")  # of no thread: what a model costs counts for the person
    prompt = Prompt(PromptId(0), session, "explain", "explain", author, text, state, 1, 0.0)
    known = [await with_facts(plugins, each) for each in repositories]
    return RepositoryQuestion(prompt, channel_id, channel_name, thread, known, None)


async def explain(plugins: Plugins, question: RepositoryQuestion, ask_model: bool) -> list[RepositoryStep]:
    """Each step in order; the first verdict decides. A plugin that cannot explain itself is one step."""
    explained = set(plugins.implementers("explain_repository"))
    steps: list[RepositoryStep] = []
    for plugin in plugins.implementers("choose_repository"):
        if plugin in explained:
            answer = await plugins.ask_one(
                plugin, "explain_repository", question=question, ask_model=ask_model
            )
            steps += answer.value or ()
        else:
            answer = await plugins.ask_one(plugin, "choose_repository", question=question)
            steps.append(RepositoryStep(plugin, answer.value))
        if answer.error is not None:
            steps.append(RepositoryStep(plugin, None, str(answer.error)))
    return steps


def decided(steps: Sequence[RepositoryStep]) -> RepositoryStep:
    """The step that counts."""
    nothing = RepositoryStep("asking", RepositoryAsk("Nothing here says which one."))
    return next((step for step in steps if step.verdict is not None), nothing)


def as_json(steps: Sequence[RepositoryStep]) -> dict[str, Any]:
    """For scripts, and for the way between a command and the running bot."""
    step = decided(steps)
    return {
        "decided_by": step.name,
        **_verdict(step.verdict),
        "steps": [{"name": each.name, "said": each.said, **_verdict(each.verdict)} for each in steps],
    }


def _verdict(verdict: RepositoryChoice | RepositoryAsk | None) -> Mapping[str, Any]:
    match verdict:
        case RepositoryChoice(name, reason):
            return {"verdict": "chosen", "repository": name, "reason": reason, "candidates": []}
        case RepositoryAsk(reason, candidates):
            return {"verdict": "asks", "repository": None, "reason": reason, "candidates": list(candidates)}
    return {"verdict": "passed", "repository": None, "reason": "", "candidates": []}


def as_lines(answer: Mapping[str, Any]) -> list[str]:
    """What `as_json` says, for people: the outcome, then a line a step up to the one that decided."""
    if answer["verdict"] == "chosen":
        lines = [f"{answer['repository']}, {answer['reason']}."]
    else:
        first = ", ".join(answer["candidates"])
        lines = [f"I would ask. {answer['reason']}" + (f" First in the list: {first}." if first else "")]
    for step in answer["steps"]:
        more = step["reason"] or step["said"] or "says nothing"
        found = f"{step['repository']} {more}" if step["repository"] else more
        lines.append(f"{step['name'].replace('_', ' ')}: {found}")
    return lines

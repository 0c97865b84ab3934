"""Which repository is meant: a named one, this thread's, a keyword's, the channel's, the only one; or a model
is asked where one is configured, and people where that does not know either.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from bot import (
    ModelError,
    Models,
    PluginContext,
    RepositoryAsk,
    RepositoryChoice,
    RepositoryQuestion,
    RepositoryStep,
    Spender,
    hookimpl,
)
from plugins.repo_classifier.ladder import CANDIDATES, climb, explain
from plugins.repo_classifier.model import Guess, ask_of, guess_of

log = logging.getLogger(__name__)


class Plugin:
    """Answers last, so that any other plugin may know better."""

    def __init__(self) -> None:
        self._models: Models | None = None

    @hookimpl
    def setup(self, context: PluginContext) -> None:
        self._models = context.ask

    @hookimpl(trylast=True)
    async def choose_repository(self, question: RepositoryQuestion) -> RepositoryChoice | RepositoryAsk:
        climbed = climb(question)
        if not climbed.open or not self._may_ask:
            return climbed.verdict
        try:
            guess = await self._guess(question)
        except ModelError as error:
            log.warning("no model said which repository is meant, so people are asked: %s", error)
            return climbed.verdict
        log.info("which repository is meant, by a model: %s", guess.said)
        return guess.choice or _with_candidates(climbed.verdict, guess)

    @hookimpl(trylast=True)
    async def explain_repository(
        self, question: RepositoryQuestion, ask_model: bool
    ) -> Sequence[RepositoryStep]:
        climbed, steps = climb(question), explain(question)
        if not climbed.open:
            return steps
        names = [each.name for each in steps]
        if climbed.step in names:  # what comes behind a tie is not looked at
            tie = RepositoryStep(climbed.step, None, f"a tie of {', '.join(climbed.verdict.candidates)}")
            steps = [*steps[: names.index(climbed.step)], tie]
        return [
            *steps,
            await self._step_of_model(question, ask_model),
            RepositoryStep("asking", climbed.verdict),
        ]

    @property
    def _may_ask(self) -> bool:
        return self._models is not None and self._models.ready

    async def _guess(self, question: RepositoryQuestion) -> Guess:
        assert self._models is not None
        prompt = question.prompt
        spender = Spender(prompt.session, prompt.id, prompt.author.id, None)
        return guess_of(question, await self._models.ask(ask_of(question), spender))

    async def _step_of_model(self, question: RepositoryQuestion, ask_model: bool) -> RepositoryStep:
        if not self._may_ask:
            return RepositoryStep("model", None, "none is configured (`own_model` of [gateway])")
        if not ask_model:
            return RepositoryStep("model", None, "not asked")
        try:
            guess = await self._guess(question)
        except ModelError as error:
            return RepositoryStep("model", None, str(error))
        return RepositoryStep("model", guess.choice, guess.said)


def _with_candidates(ask: RepositoryAsk, guess: Guess) -> RepositoryAsk:
    """The model's likeliest come first, then those of the rules."""
    return replace(ask, candidates=tuple(dict.fromkeys((*guess.candidates, *ask.candidates)))[:CANDIDATES])

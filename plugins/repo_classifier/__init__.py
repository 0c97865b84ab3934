"""Which repository is meant: a named one, this thread's, a keyword's, the channel's, the only one, or ask."""

from __future__ import annotations

from bot import RepositoryAsk, RepositoryChoice, RepositoryQuestion, hookimpl
from plugins.repo_classifier.ladder import choose


class Plugin:
    """Answers last, so that any other plugin may know better."""

    @hookimpl(trylast=True)
    def choose_repository(self, question: RepositoryQuestion) -> RepositoryChoice | RepositoryAsk:
        return choose(question)

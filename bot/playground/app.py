"""The whole playground: a Slack side and a GitHub side in one process."""

from __future__ import annotations

from bot.playground import people
from bot.playground.github import Account, GitHubSide
from bot.playground.settings import PlaygroundSettings
from bot.playground.slack.server import SlackSide


class Playground:
    """Both sides on one event loop. `bot_url` may be set once the bot's address is known."""

    def __init__(self, settings: PlaygroundSettings) -> None:
        self.settings = settings
        self.bot_url = settings.bot_url
        self.github = GitHubSide(settings, accounts(settings))
        self.slack = SlackSide(settings, self.github, lambda: self.bot_url)

    @property
    def slack_url(self) -> str:
        """The Slack side: the page is here, the control API under /control."""
        return self.slack.url

    @property
    def slack_api_url(self) -> str:
        """What a Slack client takes as its base URL."""
        return self.slack.api_url

    @property
    def github_url(self) -> str:
        """The GitHub side's pages, and git under /OWNER/NAME.git."""
        return self.github.url

    @property
    def github_api_url(self) -> str:
        """What a GitHub client takes as its base URL."""
        return self.github.api_url

    async def start(self) -> None:
        """Start both; if the second fails the first is closed again."""
        await self.github.start()
        try:
            await self.slack.start()
        except BaseException:
            await self.github.close()
            raise

    async def close(self) -> None:
        """Close both, in reverse."""
        try:
            await self.slack.close()
        finally:
            await self.github.close()


def accounts(settings: PlaygroundSettings) -> list[Account]:
    """The GitHub accounts of the sample people and of the bot; ValueError if one has no token."""
    logins = [person.github for person in people.PEOPLE.values() if person.github is not None]
    missing = [login for login in logins if not settings.github_tokens.get(login)]
    if missing:
        raise ValueError(f"github_tokens lacks a token for {', '.join(missing)}")
    return [
        Account(
            id=person.github_id or 0,
            login=person.github,
            name=person.real_name,
            token=settings.github_tokens[person.github],
            bot=person.is_bot,
        )
        for person in people.PEOPLE.values()
        if person.github is not None
    ]

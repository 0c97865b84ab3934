"""What `[pr_creator]` in config.toml holds: where GitHub is, and who is who there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from bot import Secret, Section

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _address(url: str) -> str:
    parts = urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or plain) or not parts.hostname:
        raise ValueError("an https:// address (http:// only on this machine)")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("a plain address without user, password, query or fragment")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}(\[bot\])?$")]


class Account(Section):
    """A GitHub account and a token that acts as it."""

    login: Login = Field(description="The login on GitHub.")
    id: int = Field(
        gt=0, description="The number of the account (`id` in https://api.github.com/users/LOGIN)."
    )
    name: str = Field("", max_length=100, description="The name in commits; the login when left out.")
    token: Secret = Field(description="A token with read and write access to contents and pull requests.")


class BotAccount(Account):
    """The bot's own account: it fetches, and steps in for people when `fallback_to_bot` says so."""

    email: str | None = Field(None, description="The e-mail in commits; GitHub's no-reply one when left out.")


class PrCreatorSettings(Section):
    """Pull requests on GitHub, opened by the people who asked for them."""

    github_url: Address = Field("https://github.com", description="Where repositories are cloned from.")
    api_url: Address = Field("https://api.github.com", description="Where GitHub's REST API answers.")
    bot: BotAccount = Field(description="The bot's own account.")
    people: dict[str, Account] = Field({}, description="Slack user id -> that person's account on GitHub.")
    draft: bool = Field(False, description="Open pull requests as drafts.")
    fallback_to_bot: bool = Field(
        False, description="May the bot's account stand in for people without one? Its pull requests say so."
    )
    footer: str = Field("", max_length=500, description="A line of Markdown below each description.")
    title_template: Path | None = Field(None, description="A Jinja template in place of ours for titles.")
    body_template: Path | None = Field(
        None, description="A Jinja template in place of ours for descriptions."
    )
    timeout_seconds: float = Field(20.0, gt=0, le=120, description="The longest one request may take.")

    @model_validator(mode="after")
    def _one_account_each(self) -> PrCreatorSettings:
        """Two people behind one account could approve each other's work as one person."""
        logins = [account.login.lower() for account in self.people.values()]
        twice = sorted({login for login in logins if logins.count(login) > 1})
        if twice:
            raise ValueError(f"one GitHub account for each person, but {', '.join(twice)} stands there twice")
        return self

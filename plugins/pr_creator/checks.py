"""What `threadsmith doctor` asks of GitHub's API: whether each configured token is whose it should be."""

from __future__ import annotations

import asyncio

from bot import Finding, UserError, Verdict
from plugins.pr_creator.accounts import Accounts, Actor
from plugins.pr_creator.github_client import GitHubClient
from plugins.pr_creator.settings import PrCreatorSettings

_SECONDS = 5.0  # for one request; a person waits for it


async def check_accounts(settings: PrCreatorSettings) -> list[Finding]:
    """The bot's account first, then the people's."""
    accounts = Accounts(settings)
    people = [
        Actor(account.login, account.token, f"[pr_creator.people.{id}]")
        for id, account in settings.people.items()
    ]
    client = GitHubClient(settings.api_url, min(settings.timeout_seconds, _SECONDS))
    try:
        return list(await asyncio.gather(*(_check(client, settings, one) for one in [accounts.bot, *people])))
    finally:
        client.close()


async def _check(client: GitHubClient, settings: PrCreatorSettings, actor: Actor) -> Finding:
    what = f"GitHub API: {actor.login}"
    try:
        login = await client.login(actor)
    except UserError as error:
        fix = f"See that it can be reached from here: curl -sSI {settings.api_url}"
        if "token" in str(error):
            fix = f"Make a new token of {actor.login} and put it into {actor.token.name}, {actor.where}."
        return Finding(what, Verdict.BROKEN, str(error), fix)
    if login.lower() != actor.login.lower():
        fix = f"Put a token of {actor.login} into {actor.token.name}, {actor.where}, or correct the login."
        return Finding(what, Verdict.BROKEN, f"its token belongs to {login}", fix)
    return Finding(what, Verdict.OK, f"signed in at {settings.api_url}")

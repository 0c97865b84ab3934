"""What `threadsmith doctor` asks of Slack: whether each of the two tokens does what it is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.config_models import SlackSettings
from bot.domain import Finding, Verdict
from bot.slack.calls import quiet, reason
from storage import Secret

_SECONDS = 10.0
_TOKENS = {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"}
_FILES = frozenset({"files:read", "files:write"})  # without these all else works
SCOPES = _FILES | {
    *("app_mentions:read", "assistant:write", "chat:write", "commands", "users:read"),
    *("channels:history", "groups:history", "im:history", "mpim:history"),
    *("channels:read", "groups:read", "im:read", "mpim:read"),
    *("reactions:read", "reactions:write"),
}
_KINDS = {"not_allowed_token_type", "missing_scope", "no_permission"}


async def check_slack(settings: SlackSettings) -> list[Finding]:
    """Both calls the bot cannot live without, and what the first one's answer tells of the app's scopes.

    The second makes an address that nobody uses.
    """
    quiet("slack_sdk")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as http:
        client = AsyncWebClient(base_url=settings.api_url, session=http, retry_handlers=[])
        bot, app = settings.bot_token, settings.app_token
        heard: list[AsyncSlackResponse] = []

        async def auth_test() -> AsyncSlackResponse:
            heard.append(await client.auth_test(token=bot.reveal()))
            return heard[0]

        found = [
            await _tried(
                "Slack: bot token (auth.test)",
                auth_test,
                lambda said: f"{said.get('user')} in {said.get('team')}",
                _fixes(settings, bot, "the bot token (xoxb-…) from OAuth & Permissions of your app"),
            ),
            await _tried(
                "Slack: app token (apps.connections.open)",
                lambda: client.apps_connections_open(app_token=app.reveal()),
                lambda said: "Slack offers a socket" if said.get("url") else "an answer without an address",
                _fixes(settings, app, "an app-level token (xapp-…) with connections:write"),
            ),
        ]
        return found + [each for each in map(_scopes, heard) if each is not None]


def _scopes(said: AsyncSlackResponse) -> Finding | None:
    """Whether the app was granted all that it needs; None where the answer does not tell."""
    told = {name.lower(): value for name, value in (said.headers or {}).items()}.get("x-oauth-scopes")
    if told is None:
        return None
    what, missing = "Slack: scopes", sorted(SCOPES - {scope.strip() for scope in told.split(",")})
    if not missing:
        return Finding(what, Verdict.OK, "all that are needed")
    fix = "Add them to the app's bot token scopes on https://api.slack.com/apps, and install it again."
    verdict = Verdict.BEST_EFFORT if set(missing) <= _FILES else Verdict.BROKEN
    return Finding(what, verdict, f"missing: {', '.join(missing)}", fix)


def _fixes(settings: SlackSettings, token: Secret, what: str) -> Callable[[str], str]:
    def fix(word: str) -> str:
        if word in _TOKENS | _KINDS:
            return f"Put {what} into {token.name}; both kinds are on https://api.slack.com/apps."
        if word == "ratelimited":
            return "Wait a minute and try again."
        return f"See that {settings.api_url} can be reached from here: curl -sS {settings.api_url}api.test"

    return fix


async def _tried(
    what: str, call: Callable[[], Awaitable[Any]], told: Callable[[Any], str], fix: Callable[[str], str]
) -> Finding:
    try:
        said = await call()
    except Exception as error:  # the SDK raises what its HTTP library does, too; either way Slack said no
        word = reason(error)
        return Finding(what, Verdict.BROKEN, f"refused or not answered: {word}", fix(word))
    return Finding(what, Verdict.OK, told(said))

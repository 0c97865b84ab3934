"""Secrets and what goes wrong: no error, log record or traceback holds one, however the outside answers."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from leak_scan import Scanner
from test_canary import new_mark

from bot import GitAccess, Secret
from bot.cli import main
from bot.config import parse
from bot.config_models import SlackSettings
from bot.config_secrets import Section
from bot.git.command import Git
from bot.git.process import Bounds
from bot.slack.checks import check_slack
from plugins.pr_creator.accounts import Actor
from plugins.pr_creator.github_client import GitHubClient, NewPull

pytestmark = pytest.mark.proof("canary")

Record = Callable[[str, object], None]


# git shows people what a server says in plain text.
_KINDS = {"json": "application/json", "page": "text/html", "text": "text/plain", "cut": "text/plain"}


def echo(status: int, kind: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A server that says back all it was sent, as a misled proxy or a debug page would."""

    async def handler(request: web.Request) -> web.StreamResponse:
        heard = f"{dict(request.headers)} {(await request.read())!r}"
        if kind == "cut" and request.transport is not None:
            request.transport.abort()
        said: dict[str, Any] = {
            "ok": False,
            "error": heard,
            "message": heard,
            "errors": [{"message": heard}, heard],
        }
        body = json.dumps(said) if kind == "json" else heard
        headers = {"X-Echo": "".join(c for c in heard if c.isprintable())[:2000]}
        if status in (301, 302):
            headers["Location"] = "http://127.0.0.1:9/" + "".join(c for c in heard if c.isalnum())[:500]
        if "git" in request.headers.get("User-Agent", "") and "Authorization" not in request.headers:
            status_now, headers["WWW-Authenticate"] = 401, 'Basic realm="x"'  # else git would send no token
        else:
            status_now = status
        return web.Response(status=status_now, text=body, content_type=_KINDS[kind], headers=headers)

    return handler


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def everything_asked_of(url: str, mark: str) -> list[str]:
    """Each of our clients at this address, with marked tokens; what people would be shown of it."""
    shown = []
    token = Secret(f"ghp_{mark}0123456789abcdef", "file github.txt")
    actor = Actor("ada-sample", token, "[pr_creator.people.U1]")
    client = GitHubClient(url, 2)
    new = NewPull("a", "b", "c", "main", False)
    jobs: list[Callable[[], Awaitable[object]]] = [
        lambda: client.login(actor),
        lambda: client.create(actor, "acme/storefront", new),
    ]
    for job in jobs:
        shown.append(await trouble(job))
    client.close()
    git, access = Git(), GitAccess(f"{url}/acme/storefront.git", "x-access-token", token)
    for args in (("ls-remote", "--", access.url), ("fetch", "--", access.url)):
        shown.append(await trouble(lambda args=args: git.run(*args, access=access, bounds=Bounds(10))))
    secrets = {name: Secret(f"{name}-{mark}0123456789", f"env {name}") for name in ("xoxb", "xapp")}
    slack = SlackSettings.model_construct(
        bot_token=secrets["xoxb"], app_token=secrets["xapp"], api_url=f"{url}/api/", command="/threadsmith"
    )
    shown += map(repr, await check_slack(slack))
    return shown


async def trouble(job: Callable[[], Awaitable[object]]) -> str:
    """The error in full: its text, its representation, all that led to it."""
    try:
        return repr(await job())
    except Exception as error:
        chain = "".join(traceback.format_exception(error))
        return f"{error}\n{error!r}\n{error.args!r}\n{vars(error)!r}\n{chain}"


def said(record: logging.LogRecord) -> str:
    """As it would be written, and all it carries."""
    return f"{logging.Formatter().format(record)}\n{vars(record)!r}"


ANSWERS = {kind: (200, 302, 401, 403, 404, 422) if kind != "cut" else (400,) for kind in _KINDS}


@pytest.mark.parametrize("kind", _KINDS)
async def test_a_server_that_says_back_what_it_heard_is_not_repeated(
    kind: str, caplog: pytest.LogCaptureFixture, record_property: Record
) -> None:
    """Wrong tokens: in no error, no log at its loudest, no line for people; plain or in any encoding."""
    mark = new_mark()
    caplog.set_level(logging.DEBUG)
    scanner = Scanner(mark)
    for status in ANSWERS[kind]:
        async with serving(echo(status, kind)) as url:
            for text in await everything_asked_of(url, mark):
                scanner.look(f"an error after {status}", text)
    for record in caplog.records:
        scanner.look(f"log of {record.name}", said(record))
    assert scanner.hits == []
    assert scanner.places >= 6 * len(ANSWERS[kind])
    record_property("cases", scanner.places)


async def test_a_host_that_cannot_be_reached_gives_nothing_away(
    caplog: pytest.LogCaptureFixture, record_property: Record
) -> None:
    """Nobody listens, or the name does not exist."""
    mark = new_mark()
    caplog.set_level(logging.DEBUG)
    shown = await everything_asked_of(nobody(), mark)
    scanner = Scanner(mark)
    for text in [*shown, *(said(record) for record in caplog.records)]:
        scanner.look("a text", text)
    assert scanner.hits == []
    record_property("cases", scanner.places)


def test_no_way_of_turning_settings_into_text_shows_a_secret(record_property: Record) -> None:
    """The model, its dump, its copies and its errors; and the secret by itself."""
    mark = new_mark()

    class Own(Section):
        token: Secret
        others: dict[str, Secret] = {}  # noqa: RUF012 - pydantic copies it

    secret = Secret(f"xoxb-{mark}0123456789", "env TOKEN")
    own = Own(token=secret, others={"a": secret})
    scanner = Scanner(mark)
    texts: list[Callable[[], object]] = [
        lambda: repr(own),
        lambda: str(own),
        lambda: f"{own.token:>80} {own.token!s} {own.token!r} {own.token!a}",
        lambda: logging.LogRecord("x", 10, "x", 1, "%s %r %a", (secret,) * 3, None).getMessage(),
        lambda: repr(own.model_dump()),
        lambda: own.model_dump_json(),
        lambda: json.dumps(own.model_dump(), default=str),
        lambda: json.dumps({"a": secret}),
        lambda: repr(own.model_copy()),
        lambda: repr(dict(own)),
        lambda: repr(vars(own)),
        lambda: pickle.dumps(own),
        lambda: pickle.dumps(secret),
        lambda: pickle.dumps({"a": [secret]}),
        lambda: own.model_copy(deep=True),
        lambda: dir(secret),
        lambda: repr(secret.__reduce_ex__(4)),
        lambda: int(secret),  # type: ignore[call-overload]  # the error is what is looked at
        lambda: secret + "x",  # type: ignore[operator]  # the same
        lambda: Own(token=secret, others={"a": f"xoxb-{mark}0123456789"}),  # type: ignore[dict-item]  # the same
        lambda: Own(token=f"xoxb-{mark}0123456789"),  # type: ignore[arg-type]  # the same
    ]
    for text in texts:
        try:
            shown = text()
        except Exception as error:
            shown = f"{error}\n{error!r}\n{traceback.format_exc()}"
        scanner.look("a text", shown if isinstance(shown, bytes) else repr(shown))
    assert scanner.hits == []
    record_property("cases", scanner.places)


BAD_TABLES: dict[str, Callable[[str], dict[str, Any]]] = {
    "written where a reference belongs": lambda token: {"slack": {"bot_token": token, "app_token": token}},
    "as the name of a variable": lambda token: {"slack": {"bot_token": {"env": token}}},
    "as the name of a file": lambda token: {"slack": {"bot_token": {"file": token}}},
    "in both": lambda token: {"slack": {"bot_token": {"env": "A", "file": token}}},
    "as a key of the reference": lambda token: {"slack": {"bot_token": {token: "A"}}},
    "in a list": lambda token: {"slack": {"bot_token": [token]}},
    "as an unknown key": lambda token: {"slack": {token: "x"}},
    "as a section": lambda token: {token: {"x": 1}},
    "in a misspelt key": lambda token: {"slack": {"bot_tokn": token}},
    "in another section": lambda token: {"web": {"host": token, "port": token, "token": token}},
    "in an address": lambda token: {"slack": {"api_url": f"ftp://x:{token}@slack.com"}},
    "as a number's place": lambda token: {"limits": {"attempts": token}},
    "as a repository": lambda token: {"repositories": [{"name": token, "default_branch": f"..{token}"}]},
    "as a plugin": lambda token: {"plugins": {"disabled": [token]}},
}


@pytest.mark.parametrize("where", BAD_TABLES)
@pytest.mark.parametrize("shape", ["xoxb-1-{}", "xapp-1-{}", "ghp_{}", "github_pat_{}"])
def test_a_configuration_with_a_token_in_the_wrong_place_is_refused_without_showing_it(
    where: str, shape: str
) -> None:
    """In the mistakes, in what is printed, in the error's own representation."""
    mark = new_mark()
    token = shape.format(f"{mark}0123456789abcdef")
    scanner = Scanner(mark)
    try:
        parse(BAD_TABLES[where](token), "test", environment={})
    except Exception as error:
        scanner.look("the error", f"{error}\n{error!r}\n{vars(error)!r}\n{traceback.format_exc()}")
    assert scanner.places == 1
    assert scanner.hits == []


@pytest.mark.parametrize(
    "text",
    [
        '[slack]\nbot_token = "TOKEN',
        "[slack]\nbot_token = TOKEN\n",
        "[slack]\nTOKEN\n",
        "[TOKEN\n",
        "[slack]\nbot_token = { env = TOKEN }\n",
        'a = "TOKEN"\na = "TOKEN"\n',
    ],
)
def test_a_file_that_is_no_toml_is_refused_without_quoting_it(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By every command that reads it."""
    mark = new_mark()
    config = tmp_path / "config.toml"
    config.write_text(text.replace("TOKEN", f"xoxb-{mark}0123456789abcdef"))
    scanner = Scanner(mark)
    for command in (["check"], ["doctor"], ["plugins"], ["run"], ["sessions", "list"], ["check", "--json"]):
        assert main([*command, "--config", str(config)]) == 2
        said = capsys.readouterr()
        scanner.look(" ".join(command), said.out + said.err)
    assert scanner.hits == []

"""Bad requests to every route of the playground: 4xx in words, never 5xx, and nothing has changed."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playground_fixtures import ADA, BEN, BOT, DM, GUS, HEADERS, WEB, Slack
from test_playground_whole import whole
from yarl import URL

from bot.playground.app import Playground

pytestmark = pytest.mark.proof("input")

EXAMPLES = 300
Json = dict[str, Any]


@pytest.fixture
async def playground(tmp_path: Path) -> AsyncIterator[Playground]:
    place = Playground(whole(tmp_path))
    await place.start()
    yield place
    await place.close()


@pytest.fixture
async def slack(playground: Playground) -> AsyncIterator[Slack]:
    async with aiohttp.ClientSession() as session:
        yield Slack(playground.slack_url, session)


def routes(playground: Playground, method: str) -> list[str]:
    """What is mounted under /control and for the page, so that a new route is attacked as well.

    Not the page's WebSocket, which only talks.
    """
    mounted = [
        *playground.slack._control.routes(),
        *playground.slack._page.routes(),
    ]
    paths = [route.path for route in mounted if route.method == method]
    return [
        path for path in paths if path != "/page/events"
    ]  # a WebSocket: it is attacked as what it is, below


def valid(ts: str) -> Json:
    """Every field that any route takes, each right by itself."""
    return {
        "channel": WEB,
        "user": ADA,
        "text": "hello",
        "ts": ts,
        "thread_ts": ts,
        "name": "eyes",
        "remove": False,
        "action_id": "choose_repository",
        "value": "1|acme/ledger",
        "command": "/threadsmith",
        "view_id": "V1",
        "values": {},
        "repository": "acme/storefront",
        "number": 1,
        "state": "APPROVE",
        "body": "fine",
        "branch": "side",
        "files": {"a.txt": "a"},
        "method": "chat.*",
        "kind": "server_error",
        "times": 1,
        "message": f"p{ts.replace('.', '')}",
        "timeout": "0",
    }


TEXTS = [
    *("", " ", "\0", "\ud800", "\u202e", "\u200b", "x" * 45_000, "<!channel>" * 5_000, "-1", "1e400", "nan"),
    *("../../etc/passwd", "/etc/passwd", "a\\b", ".git/config", "'; DROP TABLE messages; --", "%00", "@@"),
    *(WEB, DM, BOT, GUS, BEN, "C0BACKEND1", "U0NOBODY00", "T0PLAYGRND", "1.000000", "0.0", "9" * 30 + ".1"),
    *("acme/ledger", "acme/..", "acme/x.git", "main", "HEAD", "refs/heads/main", "-f", "disconnect", "*"),
    *("chat.*", "POST /repos/*", "git-receive-pack", "duplicate", "lost_reply", ":x:", "ÄÖÜ", "🧵" * 200),
]
WORDS = st.sampled_from(TEXTS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def mutated(draw: st.DrawFn, body: Json) -> Json:
    """A few fields of another kind, and a few gone."""
    made = body | draw(st.dictionaries(st.sampled_from(sorted(body)), VALUES, max_size=3))
    for key in draw(st.lists(st.sampled_from(sorted(body)), max_size=2)):
        made.pop(key, None)
    return made


async def seen(slack: Slack, root: str) -> Any:
    """What people see: the frame, the thread, and the top level of two channels."""
    shown = [await slack.look("control/state"), await slack.look("control/thread", channel=WEB, ts=root)]
    return shown + [await slack.look("control/thread", channel=channel) for channel in (WEB, "C0BACKEND1")]


async def act(slack: Slack, path: str, body: Json) -> tuple[int, Any]:
    async with slack.session.post(f"{slack.url}{path}", headers=HEADERS, json=body) as response:
        return response.status, await response.json()


async def look(slack: Slack, path: str, body: Json) -> tuple[int, Any]:
    """As parameters of the address, and in its path where that has names."""
    plain = {key: str(value).encode(errors="replace").decode()[:1_000] for key, value in body.items()}
    where = re.sub(r"{(\w+)}", lambda found: quote(plain.get(found[1], "x"), safe="") or "x", path)
    url = URL(f"{slack.url}{where}", encoded=True).update_query({**plain, "timeout": "0"})
    async with slack.session.get(url, headers=HEADERS) as response:
        is_json = response.content_type == "application/json"
        return response.status, await response.json() if is_json else await response.text()


def refused(answer: Any) -> None:
    """In words, and in the form of all refusals."""
    assert list(answer) == ["error"]
    assert answer["error"].strip()
    assert "Traceback" not in answer["error"]
    assert len(answer["error"]) < 100_000


async def test_every_route_takes_anything_and_a_refusal_changes_nothing(
    playground: Playground, slack: Slack, record_property: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Fields dropped, of other kinds, deep, huge; the ids of other things in their places."""
    root = await slack.say("root")
    paths, looks, loop = routes(playground, "POST"), routes(playground, "GET"), asyncio.get_running_loop()
    counts = {"refused": 0, "done": 0}

    before = [await seen(slack, root)]

    async def attempt(path: str, body: Json) -> None:
        status, answer = await (look if path in looks else act)(slack, path, body)
        assert status < 500, (path, status, answer)
        counts["refused" if status >= 400 else "done"] += 1
        after = await seen(slack, root)
        if status >= 400:
            refused(answer)
            assert after == before[0], path
        before[0] = after

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(paths + looks), mutated(valid(root)))
    def attack(path: str, body: Json) -> None:
        asyncio.run_coroutine_threadsafe(attempt(path, body), loop).result(60)

    for text in TEXTS:
        await attempt("/control/message", valid(root) | {"text": text})
    await asyncio.to_thread(attack)
    record_property("cases", sum(counts.values()))
    assert min(counts.values()) > EXAMPLES / 20, counts
    assert not [record for record in caplog.records if record.exc_info]


RAW = {
    "nothing": b"",
    "cut": b"{",
    "null": b"null",
    "a list": b"[]",
    "text": b'"x"',
    "a number": b"1",
    "not a number": b"NaN",
    "no UTF-8": b'{"channel": "\xff"}',
    "deep": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "twice": b'{"channel": "x", "channel": []}',
    "a form": b"channel=x&user=y",
    "huge": b'{"text": "' + b"x" * (5 << 20) + b'"}',
    "a long number": b'{"number": ' + b"9" * 10_000 + b"}",
}


async def test_a_body_that_is_no_table_is_refused_by_every_route(
    playground: Playground, slack: Slack, record_property: Any
) -> None:
    """Whatever bytes, under every type of content; and by every other method."""
    root = await slack.say("root")
    before, tried = await seen(slack, root), 0
    for path in routes(playground, "POST"):
        for body in RAW.values():
            for kind in ("application/json", "text/plain"):
                headers = {**HEADERS, "Content-Type": kind}
                async with slack.session.post(
                    f"{slack.url}{path}", data=io.BytesIO(body), headers=headers
                ) as response:
                    assert 400 <= response.status < 500, (path, body[:20], kind)
                    refused(await response.json())
                tried += 1
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            async with slack.session.request(method, f"{slack.url}{path}", headers=HEADERS) as response:
                assert response.status == 405
                refused(await response.json())
            tried += 1
    assert await seen(slack, root) == before
    record_property("cases", tried)


async def test_the_answer_to_a_command_may_be_anything(
    playground: Playground, slack: Slack, record_property: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """`response_url`, which a bot writes to: what is no answer is refused, and nothing is posted."""
    before = await slack.look("control/thread", channel=WEB)
    bodies = ["null", "[]", "1", "{", '{"blocks": "x"}', '{"blocks": [5]}', '{"text": ""}', "[" * 50_000, ""]
    for body in bodies:
        url = playground.slack.workspace.response_url(WEB, ADA, None, None)
        how = {"data": body.encode(), "headers": {"Content-Type": "application/json"}}
        async with slack.session.post(url, **how) as response:
            assert 400 <= response.status < 500, body[:20]
    assert await slack.look("control/thread", channel=WEB) == before
    record_property("cases", len(bodies))
    assert not [record for record in caplog.records if record.exc_info]

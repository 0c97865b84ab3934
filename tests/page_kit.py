"""What the page's tests stand on: a whole playground, a real Chromium, the page as a newcomer opens it.

Loaded both by import and as a plugin, hence PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playground_fixtures import TOKEN, WEB, Bolt, Slack, bolt, settings
from playwright.async_api import Browser, Locator, Page, async_playwright, expect
from shapes import ShapeChecker

from bot.playground import people
from bot.playground.app import Playground

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
DESK = {"viewport": {"width": 1300, "height": 800}}
LOGINS = [person.github for person in people.PEOPLE.values() if person.github]
PATIENCE_MS = 15_000

expect.set_options(timeout=PATIENCE_MS)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium for all tests of one file."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def playground(folder: Path, port: int = 0) -> AsyncIterator[Slack]:
    """Both sides of a playground, what it says held against Slack's recorded shapes."""
    tokens = {login: f"ghp_{login}" for login in LOGINS}
    both = Playground(replace(settings(folder, port), github_tokens=tokens))
    shapes = ShapeChecker()
    both.slack.workspace.observers.append(shapes)
    await both.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Slack(both.slack_url, session)
    finally:
        await both.close()
    shapes.verify()


@pytest_asyncio.fixture(loop_scope="module")
async def slack(tmp_path: Path) -> AsyncIterator[Slack]:
    """A playground of the test's own."""
    async with playground(tmp_path) as slack:
        yield slack


@asynccontextmanager
async def visit(
    browser: Browser, slack: Slack, *, may_fail: bool = False, **options: object
) -> AsyncIterator[Page]:
    """The page as a newcomer opens it; a script error or a refused resource fails the test."""
    context = await browser.new_context(**{**DESK, "locale": "en-GB", "reduced_motion": "reduce", **options})
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    await page.goto(f"{slack.url}/?token={TOKEN}")
    await expect(field(page)).to_be_attached()
    yield page
    await context.close()
    assert may_fail or not wrong


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, slack: Slack) -> AsyncIterator[Page]:
    """The page on a desk, opened by Ada in #web."""
    async with visit(browser, slack) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def bot(slack: Slack) -> AsyncIterator[Bolt]:
    """A real Bolt bot, connected."""
    async with bolt(slack) as bot:
        yield bot


def field(page: Page, column: str = ".channel") -> Locator:
    """Where one writes."""
    return page.locator(f"{column} .composer-field")


def rows(page: Page, column: str = ".channel") -> Locator:
    """The messages on show."""
    return page.locator(f"{column} .row")


async def become(page: Page, name: str) -> None:
    """Speak as somebody else."""
    await page.locator(".person").click()
    await page.get_by_role("menuitemradio", name=name).click()
    await expect(page.locator(".person-name")).to_have_text(name)


async def open_thread(page: Page, ts: str, channel: str = WEB) -> None:
    """Go to a thread by its address."""
    await page.evaluate("place => location.hash = place", f"#/{channel}/{ts}")
    await expect(page.locator(".thread")).to_be_visible()

"""The playground's page in a real Chromium: what a person does by mouse and keyboard, and what they then see."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playground_fixtures import ADA, BEN, BOT, DM, GENERAL, GUS, TOKEN, WEB, Bolt, Slack, bolt, settings
from playwright.async_api import Browser, Page, async_playwright, expect
from shapes import ShapeChecker

from bot.playground import people
from bot.playground.app import Playground

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
DESK = {"viewport": {"width": 1300, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
LOGINS = [person.github for person in people.PEOPLE.values() if person.github]
STREAM = {"recipient_team_id": people.TEAM_ID, "recipient_user_id": ADA, "buffer_size": 1}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def playground(folder: Path, port: int = 0) -> AsyncIterator[Slack]:
    both = Playground(replace(settings(folder, port), github_tokens={login: f"ghp_{login}" for login in LOGINS}))
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
    async with playground(tmp_path) as slack:
        yield slack


@asynccontextmanager
async def visit(browser: Browser, slack: Slack, wrong: list[str] | None = None, **options) -> AsyncIterator[Page]:
    """The page as a newcomer opens it; a script error or a refused resource fails the test."""
    context = await browser.new_context(**{**DESK, "locale": "en-GB", "reduced_motion": "reduce", **options})
    context.set_default_timeout(10_000)
    page = await context.new_page()
    heard: list[str] = [] if wrong is None else wrong
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    await page.goto(f"{slack.url}/?token={TOKEN}")
    await expect(page.locator(".channel .composer-field")).to_be_attached()
    yield page
    await context.close()
    assert wrong is not None or not heard


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, slack: Slack) -> AsyncIterator[Page]:
    async with visit(browser, slack) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def bot(slack: Slack) -> AsyncIterator[Bolt]:
    async with bolt(slack) as bot:
        yield bot


def field(page: Page, column: str = ".channel"):
    return page.locator(f"{column} .composer-field")


def rows(page: Page, column: str = ".channel"):
    return page.locator(f"{column} .row")


async def become(page: Page, name: str) -> None:
    await page.locator(".person").click()
    await page.get_by_role("menuitemradio", name=name).click()
    await expect(page.locator(".person-name")).to_have_text(name)


async def open_thread(page: Page, ts: str, channel: str = WEB) -> None:
    await page.evaluate("place => location.hash = place", f"#/{channel}/{ts}")
    await expect(page.locator(".thread")).to_be_visible()


def plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


async def test_a_newcomer_is_welcomed_and_an_example_prompt_fills_the_composer_without_sending_it(page: Page, slack: Slack):
    await expect(page.get_by_role("heading", name="A thread goes in, a pull request comes out.")).to_be_visible()
    await expect(page.locator(".patch")).to_have_text("Local playground")
    prompts = page.locator(".prompt")
    await expect(prompts).to_have_count(3)
    await prompts.nth(2).click()
    await expect(page.locator("h1")).to_have_text("general")
    await expect(field(page)).to_be_focused()
    assert (await field(page).input_value()).startswith("@Threadsmith ")
    await expect(rows(page)).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(rows(page)).to_have_count(1)
    message = (await slack.look("page/messages", channel=GENERAL, user=ADA))["messages"][0]
    assert message["text"].startswith(f"<@{BOT}> ")


async def test_the_token_leaves_the_address_bar_and_survives_a_reload(page: Page):
    assert TOKEN not in page.url
    await page.reload()
    await expect(page.locator(".person-name")).to_have_text("Ada Sample")


async def test_without_a_token_the_page_says_where_the_link_is(browser: Browser, slack: Slack):
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(slack.url)
    await expect(page.get_by_role("heading")).to_have_text("One thing is missing")
    await context.close()


async def test_an_at_sign_offers_people_and_the_choice_is_sent_as_a_mention(page: Page, slack: Slack):
    await field(page).press_sequentially("Hey @")
    options = page.get_by_role("option")
    await expect(options).to_have_count(4)
    await expect(options.first).to_contain_text("Threadsmith")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Tab")
    await expect(field(page)).to_have_value("Hey @Ben Sample ")
    await field(page).press_sequentially("and @thr")
    await page.keyboard.press("Enter")
    await field(page).press_sequentially("look at a<b @chl")
    await page.keyboard.press("Escape")
    await expect(options).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(rows(page).locator(".mention")).to_have_text(["@Ben Sample", "@Threadsmith"])
    sent = (await slack.look("page/messages", channel=WEB, user=ADA))["messages"][0]["text"]
    assert sent == f"Hey <@{BEN}> and <@{BOT}> look at a&lt;b @chl"


async def test_a_slash_offers_commands_and_the_answer_is_seen_only_by_who_asked(
    browser: Browser, page: Page, slack: Slack, bot: Bolt
):
    @bot.app.command("/threadsmith")
    async def answer(ack, command, respond):
        await ack()
        await respond(text=f"you said *{command['text']}*")

    async with visit(browser, slack) as other:
        await become(other, "Ben Sample")
        await field(page).press_sequentially("/")
        await page.keyboard.press("Enter")
        await field(page).press_sequentially("sessions")
        await page.keyboard.press("Enter")
        private = page.locator(".channel .row-ephemeral")
        await expect(private).to_contain_text("Only visible to you")
        await expect(private.locator("strong")).to_have_text("sessions")
        await slack.say("a marker after it", user=BEN)
        await expect(rows(other)).to_have_count(1)
        await private.get_by_role("button", name="Dismiss").click()
        await expect(private).to_have_count(0)


async def test_a_command_that_does_not_exist_is_refused_before_it_is_sent(page: Page):
    await field(page).fill("/nonsense now")
    await page.keyboard.press("Enter")
    await expect(page.locator(".composer-note").first).to_contain_text("/nonsense is not a command here. Try /threadsmith")
    await expect(field(page)).to_have_value("/nonsense now")


async def test_a_stream_shows_its_tasks_and_text_while_it_is_written(page: Page, slack: Slack):
    ts = await slack.say("go", user=ADA)
    await open_thread(page, ts)
    stream = await slack.client.chat_stream(channel=WEB, thread_ts=ts, task_display_mode="plan", **STREAM)
    task = {"type": "task_update", "id": "1", "title": "Run the tests"}
    await stream.append(chunks=[{"type": "plan_update", "title": "Fix it"}, {**task, "status": "in_progress", "details": "`npm test`"}])
    card = page.locator(".thread .task")
    await expect(page.locator(".plan-title")).to_have_text("Fix it")
    await expect(card.get_by_role("img", name="in progress")).to_be_visible()
    await expect(page.get_by_role("img", name="still writing")).to_be_visible()
    await card.locator("summary").click()
    await expect(card.locator(".task-details code")).to_have_text("npm test")
    await stream.append(chunks=[{**task, "status": "error", "output": "1 failed"}, {"type": "task_update", "id": "2", "title": "Push", "status": "pending"}])
    await expect(card.first.get_by_role("img", name="failed")).to_be_visible()
    await expect(card.first.locator(".task-output")).to_have_text("1 failed")
    await expect(card.nth(1).get_by_role("img", name="waiting")).to_be_visible()
    await stream.append(chunks=[{"type": "markdown_text", "text": "It **almost"}])
    await expect(page.locator(".thread .piece")).to_have_text("It **almost")
    await stream.append(chunks=[{"type": "markdown_text", "text": "** works"}])
    await expect(page.locator(".thread .piece strong")).to_have_text("almost")
    await stream.stop(chunks=[{**task, "status": "in_progress"}])
    await expect(page.get_by_role("img", name="still writing")).to_have_count(0)
    await expect(card.first.get_by_role("img", name="stopped")).to_be_visible()


async def test_a_working_session_has_a_stop_button_and_pressing_it_tells_the_bot(page: Page, slack: Slack, bot: Bolt):
    await field(page).fill("@Threadsmith go")
    await page.keyboard.press("Enter")
    ts = next(event["ts"] for event in [await bot.next(), await bot.next()])
    await slack.client.agents_sessions_setStatus(channel_id=WEB, thread_ts=ts, status="processing", title="Going")
    await expect(page.locator(".thread h2")).to_have_text("Going")
    await expect(page.locator(".session")).to_contain_text("Threadsmith is working…")
    await page.get_by_role("button", name="Stop", exact=True).click()
    event = await bot.next()
    assert (event["type"], event["thread_ts"], event["user"]) == ("agent_session_stopped", ts, ADA)
    await expect(page.locator(".session")).to_contain_text("Asked it to stop…")
    await slack.client.agents_sessions_setStatus(channel_id=WEB, thread_ts=ts, status="active")
    await expect(page.locator(".session")).to_have_count(0)


async def test_a_picker_is_filtered_by_typing_and_picked_with_enter(page: Page, slack: Slack, bot: Bolt):
    picked: asyncio.Queue[dict] = asyncio.Queue()

    @bot.app.action("repository")
    async def pick(ack, body):
        await ack()
        picked.put_nowait(body)

    names = ["acme/storefront", "acme/ledger", "other/notes"]
    options = [{"text": plain(name), "value": name, "description": plain("a repository")} for name in names]
    select = {"type": "static_select", "action_id": "repository", "placeholder": plain("Choose"), "options": options}
    await slack.client.chat_postMessage(channel=WEB, text="?", blocks=[{"type": "actions", "elements": [select]}])
    await page.locator(".select").press("Enter")
    await expect(page.get_by_role("option")).to_have_count(3)
    await page.keyboard.type("acme")
    await expect(page.get_by_role("option")).to_have_count(2)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    body = await asyncio.wait_for(picked.get(), 10)
    assert body["actions"][0]["selected_option"]["value"] == "acme/ledger"
    assert body["user"]["id"] == ADA
    await expect(page.locator(".select")).to_have_text("acme/ledger")
    await expect(page.locator(".select")).to_be_focused()


async def test_a_button_with_a_confirmation_is_pressed_only_after_a_yes(page: Page, slack: Slack, bot: Bolt):
    pressed: asyncio.Queue[str] = asyncio.Queue()

    @bot.app.action("drop")
    async def drop(ack, body):
        await ack()
        pressed.put_nowait(body["actions"][0]["value"])

    confirm = {"title": plain("Really?"), "text": plain("It is gone then."), "confirm": plain("Drop"), "deny": plain("Keep")}
    button = {"type": "button", "action_id": "drop", "value": "1", "style": "danger", "text": plain("Drop it"), "confirm": confirm}
    await slack.client.chat_postMessage(channel=WEB, text="?", blocks=[{"type": "actions", "elements": [button]}])
    await page.get_by_role("button", name="Drop it").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("It is gone then.")
    await dialog.get_by_role("button", name="Keep").click()
    await expect(dialog).to_have_count(0)
    await page.get_by_role("button", name="Drop it").click()
    await dialog.get_by_role("button", name="Drop", exact=True).click()
    assert await asyncio.wait_for(pressed.get(), 10) == "1"
    assert pressed.empty()


async def test_a_reaction_is_added_from_the_tools_and_taken_back_with_a_click(page: Page, slack: Slack):
    ts = await slack.say("ship it?", user=BEN)
    await slack.act("react", channel=WEB, user=BEN, ts=ts, name="eyes")
    await rows(page).hover()
    await rows(page).get_by_role("button", name="React with :eyes:").click()
    chip = page.locator(".reaction[data-emoji=eyes]")
    await expect(chip).to_contain_text("2")
    await expect(chip).to_have_attribute("aria-pressed", "true")
    await chip.click()
    await expect(chip).to_have_attribute("aria-pressed", "false")
    await rows(page).get_by_role("button", name="Add a reaction").first.click()
    await page.get_by_placeholder("Find an emoji").fill("rocket")
    await page.keyboard.press("Enter")
    await expect(page.locator(".reaction[data-emoji=rocket]")).to_contain_text("1")


async def test_only_own_messages_can_be_edited_and_deleted(page: Page, slack: Slack):
    await slack.say("mine & <@U0BENSAMPL>", user=ADA)
    await slack.say("not mine", user=BEN)
    await expect(rows(page).nth(1).get_by_role("button", name="Edit", include_hidden=True)).to_have_count(0)
    await rows(page).first.hover()
    await rows(page).first.get_by_role("button", name="Edit").click()
    editor = page.get_by_label("Edit the message")
    await expect(editor).to_have_value("mine & @Ben Sample")
    await editor.fill("changed, @Ben Sample")
    await page.keyboard.press("Enter")
    await expect(rows(page).first).to_contain_text("changed, @Ben Sample")
    await expect(rows(page).first).to_contain_text("(edited)")
    await rows(page).first.hover()
    await rows(page).first.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(rows(page)).to_have_count(1)


async def test_a_message_elsewhere_marks_its_channel_until_it_is_opened(page: Page, slack: Slack):
    await slack.say("nothing special", channel=GENERAL, user=BEN)
    link = page.locator(f"[data-channel={GENERAL}]")
    await expect(link.locator(".badge")).to_contain_text("1")
    await slack.say(f"hello <@{ADA}>", channel=GENERAL, user=BEN)
    await expect(link.locator(".badge-mention")).to_contain_text("2")
    await expect(page).to_have_title("(2) #web · Threadsmith playground")
    await link.click()
    await expect(link.locator(".badge")).to_have_count(0)
    await expect(page.locator(".mention-me")).to_have_text("@Ada Sample")


async def test_each_person_sees_their_own_channels_and_speaks_in_their_own_name(page: Page, slack: Slack):
    await expect(page.locator("[data-channel]")).to_have_count(5)
    await become(page, "Gus Guest")
    await expect(page.locator("[data-channel]")).to_have_count(3)
    await field(page).fill("hello from a guest")
    await page.keyboard.press("Enter")
    await expect(rows(page).locator(".author")).to_have_text("Gus Guest")
    assert (await slack.look("page/messages", channel=WEB, user=GUS))["messages"][0]["user"] == GUS


async def test_a_direct_message_needs_no_mention_and_opens_its_thread_when_answered(page: Page, slack: Slack, bot: Bolt):
    await page.locator(f"[data-channel={DM}]").click()
    await field(page).fill("hello you")
    await page.keyboard.press("Enter")
    event = await bot.next()
    await slack.client.chat_postMessage(channel=DM, thread_ts=event["ts"], text="at your service")
    await expect(rows(page, ".thread")).to_have_count(2)
    await field(page, ".thread").fill("thanks")
    await page.keyboard.press("Enter")
    await expect(page.locator(".thread-count")).to_have_text("2 replies")
    await page.keyboard.press("Escape")
    await expect(page.locator(".thread")).to_be_hidden()


async def test_the_banner_tells_that_the_bot_is_missing_until_it_connects(page: Page, slack: Slack):
    banner = page.locator(".banner")
    await expect(banner).to_contain_text("Threadsmith is not connected yet.")
    async with bolt(slack):
        await expect(banner).to_have_count(0)
    await expect(banner).to_contain_text("not connected")


async def test_after_a_restart_of_the_playground_the_page_comes_back_and_shows_what_it_missed(browser: Browser, tmp_path: Path):
    async with playground(tmp_path) as first:
        port = int(first.url.rsplit(":", 1)[1])
        await first.say("before", user=BEN)
        visiting = visit(browser, first, wrong=[])
        page = await visiting.__aenter__()
        await expect(rows(page)).to_have_count(1)
    await expect(page.locator(".banner")).to_contain_text("Lost the playground.")
    async with playground(tmp_path, port) as second:
        await second.say("while you were away", user=BEN)
        await expect(rows(page)).to_have_count(2)
        await expect(page.locator(".banner-lost")).to_have_count(0)
        await visiting.__aexit__(None, None, None)


async def test_what_people_and_bots_write_stays_text(page: Page, slack: Slack):
    attack = "<img src=x onerror=alert(1)> &lt;script&gt;alert(2)&lt;/script&gt; <javascript:alert(3)|press me>"
    await slack.say(attack, user=BEN)
    markdown = "[press](javascript:alert(4)) [ok](https://example.com/) <img src=x onerror=alert(5)>\n\n![x](https://example.com/x.png)"
    button = {"type": "button", "action_id": "a", "url": "https://example.com/", "text": plain("<b>go</b>")}
    blocks = [{"type": "markdown", "text": markdown}, {"type": "actions", "elements": [button]}]
    await slack.client.chat_postMessage(channel=WEB, text="x", blocks=blocks)
    await expect(page.locator(".button", has_text="<b>go</b>")).to_have_attribute("rel", "noopener noreferrer")
    await expect(rows(page).first).to_contain_text("<img src=x onerror=alert(1)>")
    assert await rows(page).locator("img, script").count() == 0
    links = await rows(page).locator("a").evaluate_all("nodes => nodes.map(node => [node.href, node.target])")
    assert links == [["https://example.com/", "_blank"], ["https://example.com/", "_blank"]]


async def test_every_promised_block_is_drawn(page: Page, slack: Slack):
    rich = {"type": "rich_text_section", "elements": [{"type": "text", "text": "rich", "style": {"bold": True}}]}
    blocks = [
        {"type": "header", "text": plain("Heading")},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*sec*"}, "fields": [{"type": "mrkdwn", "text": "_f1_"}]},
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "small"}]},
        {"type": "rich_text", "elements": [rich]},
        {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "a cat"},
        {"type": "table", "rows": [[{"type": "raw_text", "text": "file"}], [{"type": "raw_text", "text": "a.js"}]]},
        {"type": "task_card", "task_id": "t", "title": "A card", "status": "complete"},
    ]
    await slack.client.chat_postMessage(channel=WEB, text="x", blocks=blocks)
    row = rows(page)
    await expect(row.get_by_role("heading", name="Heading")).to_be_visible()
    for shape, text in {".block-section strong": "sec", ".block-fields em": "f1", ".block-context": "small",
                        ".parts > .prose strong": "rich", ".block-image": "Image: a cat", "th": "file", "td": "a.js",
                        ".task-complete": "A card"}.items():  # fmt: skip
        await expect(row.locator(shape)).to_have_text(text)
    await expect(row.locator("hr")).to_have_count(1)
    await expect(row.locator(".block-unknown")).to_have_count(0)


async def test_on_a_phone_list_channel_and_thread_lie_on_top_of_each_other(browser: Browser, slack: Slack):
    ts = await slack.say("a root", user=BEN)
    await slack.say("a reply", user=BEN, thread_ts=ts)
    async with visit(browser, slack, **PHONE) as page:
        columns = {name: page.locator(f".{name}") for name in ("sidebar", "channel", "thread")}

        async def only(shown: str) -> None:
            for name, column in columns.items():
                await expect(column).to_be_visible(visible=name == shown)

        await only("channel")
        await page.locator(".thread-link").tap()
        await only("thread")
        await page.get_by_label("Back to the channel", exact=True).tap()
        await only("channel")
        await page.get_by_label("Back to the channels").tap()
        await only("sidebar")
        await page.locator(f"[data-channel={GENERAL}]").tap()
        await only("channel")
        wide = "document.documentElement.scrollWidth > innerWidth"
        assert not await page.evaluate(wide)


async def test_dark_follows_the_system_until_the_person_chooses(browser: Browser, slack: Slack):
    async with visit(browser, slack, color_scheme="dark") as page:
        paper = "getComputedStyle(document.body).backgroundColor"
        dark = await page.evaluate(paper)
        await page.get_by_label("Use light colours").click()
        assert await page.evaluate(paper) != dark
        await page.reload()
        await expect(page.get_by_label("Use dark colours")).to_be_visible()
        assert await page.evaluate(paper) != dark


async def test_messages_are_walked_with_arrows_and_their_tools_reached_with_tab(page: Page, slack: Slack):
    for text in ("one", "two"):
        await slack.say(text, user=BEN)
    await expect(rows(page)).to_have_count(2)
    await page.locator(".row[tabindex='0']").focus()
    await page.keyboard.press("ArrowUp")
    await expect(rows(page).first).to_be_focused()
    for _ in range(6):
        await page.keyboard.press("Tab")
    await expect(rows(page).first.get_by_role("button", name="Reply in thread")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".thread")).to_be_visible()

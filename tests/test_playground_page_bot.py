"""The page in a real Chromium: what a real bot does over Slack's API, as people see it and answer it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from page_kit import become, field, open_thread, playground, rows, visit
from playground_fixtures import ADA, BEN, DM, WEB, Bolt, Slack, bolt
from playwright.async_api import Browser, Page, expect

from bot.playground import people

pytest_plugins = ("page_kit",)
pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = {"recipient_team_id": people.TEAM_ID, "recipient_user_id": ADA, "buffer_size": 1}


def plain(text: str) -> dict[str, str]:
    """A Block Kit text without formatting."""
    return {"type": "plain_text", "text": text}


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


async def test_a_stream_shows_its_tasks_and_text_while_it_is_written(page: Page, slack: Slack):
    ts = await slack.say("go", user=ADA)
    await open_thread(page, ts)
    stream = await slack.client.chat_stream(channel=WEB, thread_ts=ts, task_display_mode="plan", **STREAM)
    task = {"type": "task_update", "id": "1", "title": "Run the tests"}
    await stream.append(
        chunks=[
            {"type": "plan_update", "title": "Fix it"},
            {**task, "status": "in_progress", "details": "`npm test`"},
        ]
    )
    card = page.locator(".thread .task")
    await expect(page.locator(".plan-title")).to_have_text("Fix it")
    await expect(card.get_by_role("img", name="in progress")).to_be_visible()
    await expect(page.get_by_role("img", name="still writing")).to_be_visible()
    await card.locator("summary").click()
    await expect(card.locator(".task-details code")).to_have_text("npm test")
    await stream.append(
        chunks=[
            {**task, "status": "error", "output": "1 failed"},
            {"type": "task_update", "id": "2", "title": "Push", "status": "pending"},
        ]
    )
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


async def test_a_working_session_has_a_stop_button_and_pressing_it_tells_the_bot(
    page: Page, slack: Slack, bot: Bolt
):
    await field(page).fill("@Threadsmith go")
    await page.keyboard.press("Enter")
    ts = next(event["ts"] for event in [await bot.next(), await bot.next()])
    await slack.client.agents_sessions_setStatus(
        channel_id=WEB, thread_ts=ts, status="processing", title="Going"
    )
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
    select = {
        "type": "static_select",
        "action_id": "repository",
        "placeholder": plain("Choose"),
        "options": options,
    }
    await slack.client.chat_postMessage(
        channel=WEB, text="?", blocks=[{"type": "actions", "elements": [select]}]
    )
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


async def test_words_are_written_into_a_field_and_sent_with_enter(page: Page, slack: Slack, bot: Bolt):
    """What was begun is still there when the message is drawn anew."""
    said: asyncio.Queue[dict] = asyncio.Queue()

    @bot.app.action("name")
    async def named(ack, body):
        await ack()
        said.put_nowait(body)

    element = {
        "type": "plain_text_input",
        "action_id": "name",
        "dispatch_action_config": {"trigger_actions_on": ["on_enter_pressed"]},
    }
    block = {"type": "input", "label": plain("Your answer"), "dispatch_action": True, "element": element}
    ts = (await slack.client.chat_postMessage(channel=WEB, text="?", blocks=[block]))["ts"]
    box = page.get_by_label("Your answer")
    await box.press_sequentially("Ada & C")
    await slack.client.chat_update(channel=WEB, ts=ts, text="!", blocks=[{**block, "hint": plain("new")}])
    await expect(page.locator(".row", has_text="(edited)")).to_have_count(1)
    await expect(box).to_have_value("Ada & C")
    await box.press("End")
    await box.press_sequentially("o")
    await box.press("Enter")
    body = await asyncio.wait_for(said.get(), 10)
    assert body["actions"][0]["value"] == "Ada & Co"


async def test_a_button_with_a_confirmation_is_pressed_only_after_a_yes(page: Page, slack: Slack, bot: Bolt):
    pressed: asyncio.Queue[str] = asyncio.Queue()

    @bot.app.action("drop")
    async def drop(ack, body):
        await ack()
        pressed.put_nowait(body["actions"][0]["value"])

    confirm = {
        "title": plain("Really?"),
        "text": plain("It is gone then."),
        "confirm": plain("Drop"),
        "deny": plain("Keep"),
    }
    button = {
        "type": "button",
        "action_id": "drop",
        "value": "1",
        "style": "danger",
        "text": plain("Drop it"),
        "confirm": confirm,
    }
    await slack.client.chat_postMessage(
        channel=WEB, text="?", blocks=[{"type": "actions", "elements": [button]}]
    )
    await page.get_by_role("button", name="Drop it").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("It is gone then.")
    await dialog.get_by_role("button", name="Keep").click()
    await expect(dialog).to_have_count(0)
    await page.get_by_role("button", name="Drop it").click()
    await dialog.get_by_role("button", name="Drop", exact=True).click()
    assert await asyncio.wait_for(pressed.get(), 10) == "1"
    assert pressed.empty()


async def test_a_direct_message_needs_no_mention_and_opens_its_thread_when_answered(
    page: Page, slack: Slack, bot: Bolt
):
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


async def test_after_a_restart_of_the_playground_the_page_comes_back_and_shows_what_it_missed(
    browser: Browser, tmp_path: Path
):
    async with playground(tmp_path) as first:
        port = int(first.url.rsplit(":", 1)[1])
        await first.say("before", user=BEN)
        visiting = visit(browser, first, may_fail=True)
        page = await visiting.__aenter__()
        await expect(rows(page)).to_have_count(1)
    await expect(page.locator(".banner")).to_contain_text("Lost the playground.")
    async with playground(tmp_path, port) as second:
        await second.say("while you were away", user=BEN)
        await expect(rows(page)).to_have_count(2)
        await expect(page.locator(".banner-lost")).to_have_count(0)
        await visiting.__aexit__(None, None, None)


async def test_what_people_and_bots_write_stays_text(page: Page, slack: Slack):
    attack = (
        "<img src=x onerror=alert(1)> &lt;script&gt;alert(2)&lt;/script&gt; <javascript:alert(3)|press me>"
    )
    await slack.say(attack, user=BEN)
    markdown = "[press](javascript:alert(4)) [ok](https://example.com/) <img src=x onerror=alert(5)>\n\n![x](https://example.com/x.png)"
    button = {"type": "button", "action_id": "a", "url": "https://example.com/", "text": plain("<b>go</b>")}
    blocks = [{"type": "markdown", "text": markdown}, {"type": "actions", "elements": [button]}]
    await slack.client.chat_postMessage(channel=WEB, text="x", blocks=blocks)
    await expect(page.locator(".button", has_text="<b>go</b>")).to_have_attribute(
        "rel", "noopener noreferrer"
    )
    await expect(rows(page).first).to_contain_text("<img src=x onerror=alert(1)>")
    assert await rows(page).locator("img, script").count() == 0
    links = await rows(page).locator("a").evaluate_all("nodes => nodes.map(node => [node.href, node.target])")
    assert links == [["https://example.com/", "_blank"], ["https://example.com/", "_blank"]]


async def test_every_promised_block_is_drawn(page: Page, slack: Slack):
    rich = {
        "type": "rich_text_section",
        "elements": [{"type": "text", "text": "rich", "style": {"bold": True}}],
    }
    blocks = [
        {"type": "header", "text": plain("Heading")},
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*sec*"},
            "fields": [{"type": "mrkdwn", "text": "_f1_"}],
        },
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "small"}]},
        {"type": "rich_text", "elements": [rich]},
        {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "a cat"},
        {
            "type": "table",
            "rows": [[{"type": "raw_text", "text": "file"}], [{"type": "raw_text", "text": "a.js"}]],
        },
        {"type": "task_card", "task_id": "t", "title": "A card", "status": "complete"},
    ]
    await slack.client.chat_postMessage(channel=WEB, text="x", blocks=blocks)
    row = rows(page)
    await expect(row.get_by_role("heading", name="Heading")).to_be_visible()
    drawn = {
        ".block-section strong": "sec",
        ".block-fields em": "f1",
        ".block-context": "small",
        ".parts > .prose strong": "rich",
        ".block-image": "Image: a cat",
        "th": "file",
        "td": "a.js",
        ".task-complete": "A card",
    }
    for shape, text in drawn.items():
        await expect(row.locator(shape)).to_have_text(text)
    await expect(row.locator("hr")).to_have_count(1)
    await expect(row.locator(".block-unknown")).to_have_count(0)

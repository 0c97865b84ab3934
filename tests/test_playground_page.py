"""The page in a real Chromium: what a person does by mouse and keyboard, and what they then see."""

from __future__ import annotations

import asyncio

import pytest
from page_kit import become, field, open_thread, rows, visit
from playground_fixtures import ADA, BACKEND, BEN, BOT, DM, GENERAL, GUS, RANDOM, TOKEN, WEB, Slack
from playwright.async_api import Browser, Page, Route, expect

pytest_plugins = ("page_kit",)
pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


async def test_a_newcomer_is_welcomed_and_an_example_prompt_fills_the_composer_without_sending_it(
    page: Page, slack: Slack
):
    await expect(
        page.get_by_role("heading", name="A thread goes in, a pull request comes out.")
    ).to_be_visible()
    await expect(page.locator(".brand .patch")).to_have_text("Local playground")
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


async def test_a_command_that_does_not_exist_is_refused_before_it_is_sent(page: Page):
    await field(page).fill("/nonsense now")
    await page.keyboard.press("Enter")
    await expect(page.locator(".composer-note").first).to_contain_text(
        "/nonsense is not a command here. Try /threadsmith"
    )
    await expect(field(page)).to_have_value("/nonsense now")


async def test_a_reaction_is_added_from_the_tools_and_taken_back_with_a_click(page: Page, slack: Slack):
    ts = await slack.say("ship it?", user=BEN)
    await slack.act("react", channel=WEB, user=BEN, ts=ts, name="eyes")
    await rows(page).hover()
    await rows(page).get_by_role("button", name="React with :eyes:").click()
    chip = page.locator(".reaction[data-emoji=eyes]")
    await expect(chip).to_contain_text("2")
    await expect(chip).to_have_attribute("aria-pressed", "true")
    await chip.press("Enter")
    await expect(chip).to_have_attribute("aria-pressed", "false")
    await expect(chip).to_be_focused()
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
    await field(page).press("ArrowUp")
    await expect(editor).to_be_focused()
    await page.keyboard.press("Escape")
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


async def test_who_becomes_somebody_else_stays_in_the_thread_that_they_may_see(page: Page, slack: Slack):
    for channel in (WEB, BACKEND):
        ts = await slack.say("whose turn is it?", channel=channel, user=BEN)
        await slack.say("mine", channel=channel, user=BEN, thread_ts=ts)
        await open_thread(page, ts, channel)
        await become(page, "Chloe Sample")
        await expect(rows(page, ".thread")).to_have_count(2)
        await field(page, ".thread").fill("no, mine")
        await page.keyboard.press("Enter")
        await expect(rows(page, ".thread").last.locator(".author")).to_have_text("Chloe Sample")
    await become(page, "Gus Guest")
    await expect(page.locator(".thread")).to_be_hidden()
    await expect(page.locator("h1")).to_have_text("web")
    await expect(page.locator(".toast")).to_have_count(0)


async def test_who_leaves_a_direct_thread_by_becoming_somebody_else_sees_no_error(page: Page, slack: Slack):
    ts = await slack.say("just us", channel=DM, user=ADA)
    await open_thread(page, ts, DM)
    await become(page, "Ben Sample")
    await expect(page.locator(".thread")).to_be_hidden()
    await expect(page.locator("h1")).to_have_text("web")
    await expect(page.locator(".toast")).to_have_count(0)


async def test_a_mention_where_the_bot_is_not_says_so_quietly(page: Page, slack: Slack):
    await page.locator(f"[data-channel={RANDOM}]").click()
    await expect(page.locator("h1")).to_have_text("random")
    await field(page).fill("@Threadsmith are you there?")
    await page.keyboard.press("Enter")
    await expect(rows(page).locator(".unheard")).to_have_text(
        "Threadsmith is not in this channel, so it will not answer here."
    )
    await slack.say("nobody is called", channel=RANDOM, user=BEN)
    await slack.say(f"<@{BOT}> here you are", channel=WEB, user=BEN)
    await expect(rows(page)).to_have_count(2)
    await expect(page.locator(".unheard")).to_have_count(1)
    await page.locator(f"[data-channel={WEB}]").click()
    await expect(rows(page)).to_have_count(1)  # the other channel's two are gone
    await expect(rows(page)).to_contain_text("here you are")
    await expect(page.locator(".unheard")).to_have_count(0)


async def test_an_answer_that_took_long_does_not_bring_an_old_status_back(page: Page, slack: Slack):
    root = await slack.say("go", user=ADA)
    await slack.say("a reply", user=BEN, thread_ts=root)
    place = {"channel_id": WEB, "thread_ts": root}
    await slack.client.agents_sessions_setStatus(**place, status="processing")
    await expect(page.locator(".thread-working")).to_be_visible()
    asked, released = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        answer = await route.fetch()
        asked.set()
        await released.wait()
        await route.fulfill(response=answer)

    await page.route("**/page/messages?*thread_ts=*", late)
    await open_thread(page, root)
    await asyncio.wait_for(asked.wait(), 15)
    await slack.client.agents_sessions_setStatus(**place, status="active")
    await expect(page.locator(".thread-working")).to_have_count(0)
    released.set()
    await expect(rows(page, ".thread")).to_have_count(2)
    await expect(page.locator(".session, .thread-working")).to_have_count(0)


async def test_links_to_the_code_host_carry_who_is_looking(page: Page, slack: Slack):
    link = page.locator(".sidebar").get_by_role("link", name="acme/storefront")
    for name, shown in (("Ben Sample", "Ben"), ("Chloe Sample", "Chloe")):
        await become(page, name)
        async with page.expect_popup() as opening:
            await link.click()
        other = await opening.value
        await expect(other.locator(".viewer [aria-pressed=true]")).to_have_text(shown)
        await other.get_by_role("link", name="Repositories").click()
        await expect(other.locator(".viewer [aria-pressed=true]")).to_have_text(shown)
        await other.close()
    await become(page, "Gus Guest")
    async with page.expect_popup() as opening:
        await link.click()
    assert "as=" not in (await opening.value).url


async def test_a_button_keeps_to_one_line_and_goes_below_the_text_where_the_column_is_narrow(
    page: Page, slack: Slack
):
    text = {"type": "mrkdwn", "text": "*A title of some length that needs its room*\nacme/storefront"}
    label = {"type": "plain_text", "text": "Open pull request"}
    button = {"type": "button", "action_id": "b", "text": label, "url": "https://example.com/"}
    root = await slack.say("go", user=ADA)
    for thread in ({}, {"thread_ts": root}):
        blocks = [{"type": "section", "text": text, "accessory": button}]
        await slack.client.chat_postMessage(channel=WEB, text="x", blocks=blocks, **thread)
    await open_thread(page, root)
    for column, is_below in ((".channel", False), (".thread", True)):
        words = await page.locator(f"{column} .block-section-text").bounding_box()
        pressed = await page.locator(f"{column} .button[data-action=b]").bounding_box()
        assert words is not None and pressed is not None
        assert (pressed["y"] >= words["y"] + words["height"]) is is_below
        assert pressed["height"] < 40


async def test_on_a_phone_the_tools_of_a_message_cover_nothing(browser: Browser, slack: Slack):
    for number in range(20):
        await slack.say(f"message {number}", user=ADA if number % 2 else BEN)
    async with visit(browser, slack, **PHONE) as page:
        for row in (rows(page).nth(10), rows(page).last):
            await row.locator(".parts").tap()
            tools = row.locator(".row-tools")
            await expect(tools).to_be_in_viewport(ratio=1)
            box, text = await tools.bounding_box(), await row.locator(".row-main").bounding_box()
            assert box is not None and text is not None
            assert box["y"] >= text["y"] + text["height"]
        await expect(page.locator(".row-tools:visible")).to_have_count(1)


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
    await expect(field(page, ".thread")).to_be_focused()
    await page.keyboard.type("a reply")
    await page.keyboard.press("Enter")
    await expect(rows(page, ".thread")).to_have_count(2)
    await expect(page.locator(".thread-link")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator(".thread-link")).to_be_focused()

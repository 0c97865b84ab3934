"""Files on the playground's page: attached by a person, posted by the bot, never run."""

from __future__ import annotations

import pytest
from file_kit import given, png
from page_kit import field, open_thread, rows
from playground_fixtures import ADA, WEB, Slack
from playwright.async_api import Page, expect

pytest_plugins = ("page_kit",)
pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOT = {"name": "shot.png", "mimeType": "image/png", "buffer": png(64)}
NOTES = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hi"}


async def in_web(page: Page) -> None:
    await page.evaluate("place => location.hash = place", f"#/{WEB}")
    await expect(page.locator("h1")).to_have_text("web")


async def test_a_person_attaches_files_thinks_again_of_one_and_sends_the_other(
    page: Page, slack: Slack
) -> None:
    await in_web(page)
    await page.locator(".channel input[type=file]").set_input_files([SHOT, NOTES])  # type: ignore[list-item]  # its type is private
    await expect(page.locator(".channel .attached li")).to_have_count(2)
    await page.get_by_role("button", name="Do not attach notes.txt").click()
    await expect(page.locator(".channel .send")).to_be_enabled()
    await field(page).press("Enter")
    await expect(page.locator(".channel .attached li")).to_have_count(0)
    image = rows(page).locator("img.file-image")
    await expect(image).to_have_js_property("naturalWidth", 64)
    [message] = (await slack.look("page/messages", channel=WEB, user=ADA))["messages"]
    assert (message["text"], [file["name"] for file in message["files"]]) == ("", ["shot.png"])


async def test_a_posted_file_is_a_line_to_save_and_a_false_image_one_as_well(
    page: Page, slack: Slack
) -> None:
    files = [given("run.html", "<script>document.title='ran'</script>"), given("false.png", "<svg onload=1>")]
    root = (await slack.act("message", channel=WEB, user=ADA, text="look", files=files))["ts"]
    await open_thread(page, root)
    lines = page.locator(".thread .file")
    await expect(lines).to_have_count(2)
    await expect(page.locator(".thread img.file-image")).to_have_count(0)
    await expect(lines.first.locator(".file-facts")).to_have_text("HTML · 37 bytes")
    async with page.expect_download() as saved:
        await lines.first.click()
    assert (await saved.value).suggested_filename == "run.html"
    assert "ran" not in await page.title()

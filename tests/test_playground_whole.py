"""Both sides of the playground together: what the control API passes on to the GitHub side."""

import aiohttp
import pytest
from playground_fixtures import ADA, BEN, GUS, Slack, settings

from bot.playground import people
from bot.playground.app import Playground
from bot.playground.settings import PlaygroundSettings


def whole(folder) -> PlaygroundSettings:
    base = settings(folder)
    logins = [person.github for person in people.PEOPLE.values() if person.github]
    tokens = {login: f"ghp_{login}" for login in logins}
    return PlaygroundSettings(**{**vars(base), "github_tokens": tokens})


@pytest.fixture
async def playground(tmp_path):
    playground = Playground(whole(tmp_path))
    await playground.start()
    yield playground
    await playground.close()


@pytest.fixture
async def slack(playground):
    async with aiohttp.ClientSession() as session:
        yield Slack(playground.slack_url, session)


async def test_a_person_commits_reviews_and_merges_by_their_own_login(playground, slack):
    """Through the control API alone, but for the opening of the pull request, which is the bot's business."""
    assert (await slack.look("control/state"))["repositories"] == ["acme/storefront", "acme/ledger"]
    change = {"repository": "acme/storefront", "branch": "side", "files": {"NOTES.md": "words\n"}}
    await slack.act("commit", user=ADA, **change)
    headers = {"Authorization": "token ghp_ada-sample"}
    pull = {"title": "Notes", "head": "side", "base": "main"}
    url = f"{playground.github_api_url}/repos/acme/storefront/pulls"
    async with slack.session.post(url, json=pull, headers=headers) as response:
        number = (await response.json())["number"]
    listed = await slack.look("control/pulls")
    assert [(p["repository"], p["number"], p["author"], p["files"]) for p in listed] == [
        ("acme/storefront", number, "ada-sample", ["NOTES.md"])
    ]
    here = {"repository": "acme/storefront", "number": number}
    await slack.act("review", user=BEN, **here, state="APPROVE", body="fine")
    await slack.act("merge", user=BEN, **here)
    assert (await slack.look("control/pulls"))[0]["state"] in ("closed", "merged")
    again = await slack.act("merge", expect=405, user=BEN, **here)
    assert again["error"]
    await slack.act("merge", expect=403, user=GUS, **here)
    log = await slack.look("control/requests")
    assert any("/pulls" in request["path"] for request in log if request["side"] == "github")


async def test_a_fault_for_the_github_side_strikes_there(playground, slack):
    await slack.act("fault", method="GET /user", kind="server_error", times=1)
    headers = {"Authorization": "token ghp_ben-sample"}
    statuses = []
    for _ in range(2):
        async with slack.session.get(f"{playground.github_api_url}/user", headers=headers) as response:
            statuses.append(response.status)
    assert statuses[0] >= 500
    assert statuses[1] == 200


async def test_it_starts_again_on_the_same_data(tmp_path):
    for texts in ([], ["said"]):
        playground = Playground(whole(tmp_path))
        await playground.start()
        try:
            async with aiohttp.ClientSession() as session:
                slack = Slack(playground.slack_url, session)
                history = await slack.client.conversations_history(channel="C0WEBFRONT")
                assert [message["text"] for message in history["messages"]] == texts
                await slack.say("said")
        finally:
            await playground.close()


def test_a_login_without_a_token_is_named(tmp_path):
    with pytest.raises(ValueError, match="lacks a token for ada-sample, ben-sample"):
        Playground(settings(tmp_path))

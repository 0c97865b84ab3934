"""The main job, end to end: a mention becomes a pull request."""

from __future__ import annotations

from bot.testing import Botty


async def test_a_mention_becomes_a_pull_request_by_the_person_who_asked(botty: Botty) -> None:
    """Opened by Ada's account, committed under her name, shown in the thread with what was changed."""
    thread = await botty.say('replace "Welcome" with "Hello" in src/header.js')
    final = await thread.final()
    [pull] = await botty.pulls()
    print(final.everything)
    assert pull["author"] == "ada-sample"
    assert pull["repository"] == "acme/storefront"
    assert "src/header.js" in final.everything
    print(pull)

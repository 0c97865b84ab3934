"""The labelled messages, and what the classifier makes of them; floors below which something broke."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from score_classifier import HONEST, MESSAGES, RECORDED, RULES, main, replies, scores

from bot.classify_score import UNKNOWN, read_messages
from bot.playground.household import household


def test_there_are_many_messages_of_many_kinds_each_with_its_reply() -> None:
    messages = read_messages(MESSAGES, ())
    texts = [each.text for each in messages]
    assert len(set(texts)) == len(texts) >= 150
    assert set(texts) == set(replies())
    names = {each.name for each in messages[0].repositories}
    assert {each.label for each in messages} == names | {UNKNOWN}
    for name in names:
        assert sum(each.label == name for each in messages) >= 10
    assert sum(each.label == UNKNOWN for each in messages) >= 20
    assert sum(bool(each.thread) for each in messages) >= 10
    assert sum(not each.text.isascii() for each in messages) >= 20
    assert sum("\n" in each.text for each in messages) >= 5
    assert max(map(len, texts)) > 300
    assert min(map(len, texts)) < 10


def test_the_sample_repositories_are_described_as_the_playground_does(tmp_path: Path) -> None:
    home = household(tmp_path / "household", port=0)
    header = json.loads(MESSAGES.read_text("utf-8").splitlines()[0])["repositories"]
    assert header[:2] == home.bot_table()["repositories"]
    assert len(header) == 8


async def test_the_classifier_is_as_good_as_it_was(tmp_path: Path) -> None:
    """Wrong decisions are the ones that hurt: asking costs a click, a wrong repository costs a turn."""
    found = await scores(tmp_path)
    rules, recorded = found[RULES], found[RECORDED]
    assert len(rules.wrong) <= 7, rules.wrong
    assert rules.right >= 53
    assert rules.first >= 20
    assert len(recorded.wrong) <= 12, recorded.wrong
    assert recorded.right >= 136
    assert recorded.asked_in_vain <= 13
    decided_by_rules = {text for text, _, _ in rules.wrong}
    assert decided_by_rules <= {text for text, _, _ in recorded.wrong}  # a model has no say in these


def test_the_score_says_whose_replies_they_are() -> None:
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 0
    assert HONEST in result.output
    assert f"{RULES}:\n  190 messages" in result.output

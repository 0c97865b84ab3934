"""What goes with a prompt, for agents that take it and for those that do not."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import acp.schema
import pytest
from acp_process import Bench, Heard
from hypothesis import given
from hypothesis import strategies as st

from bot.acp import blocks
from bot.acp.abilities import Abilities
from bot.acp.blocks import fitting, image_block, resource_block, resource_link_block, text_block

PNG = base64.b64encode(b"\x89PNG not really").decode()
PLACE = "file:///home/agent/files/shot.png"
ALL = Abilities(image=True, embedded_context=True)


def image(mime: str = "image/png", data: str = PNG) -> dict[str, Any]:
    return image_block(mime, data, PLACE)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()


async def test_what_the_agent_takes_reaches_it_as_the_protocol_has_it(bench):
    able = {"promptCapabilities": {"image": True, "embeddedContext": True}}
    client = await bench.puppet({"capabilities": able})
    given = [
        image(),
        resource_block("file:///w/a.txt", "some text"),
        resource_link_block("file:///w/b.pdf", "b.pdf", "application/pdf"),
        text_block('[["seen"]]'),
    ]
    heard = Heard()
    await client.prompt(given, heard)
    params = json.loads(heard.text)[-1]["params"]
    assert params["prompt"] == given
    kinds = [block.type for block in acp.schema.PromptRequest.model_validate(params).prompt]
    assert kinds == ["image", "resource", "resource_link", "text"]


async def test_an_agent_that_cannot_see_is_sent_no_image(bench):
    client = await bench.puppet()
    heard = Heard()
    await client.prompt([image(), text_block('[["seen"]]')], heard)
    prompt = json.loads(heard.text)[-1]["params"]["prompt"]
    assert [block["type"] for block in prompt] == ["text", "text"]


@pytest.mark.parametrize(
    ("block", "abilities"),
    [
        (image(), Abilities(embedded_context=True)),
        (image("image/svg+xml"), ALL),
        (image("text/html"), ALL),
        (image(data=""), ALL),
        (image(data="not base64!!"), ALL),
        (image(data=PNG[:-1]), ALL),
        (image(data="A" * (blocks.IMAGE_CHARACTERS + 4)), ALL),
    ],
    ids=["no images", "a drawing", "a page", "nothing", "no base64", "cut base64", "too large"],
)
def test_an_image_that_cannot_be_taken_becomes_words_about_where_it_is(block, abilities):
    words = "[An image came with this; it is in the sandbox at /home/agent/files/shot.png]"
    assert fitting([block], abilities) == [text_block(words)]


def test_a_text_that_cannot_be_taken_becomes_words_about_where_it_is():
    block = resource_block("file:///w/a.txt", "secret plans")
    words = [text_block("[A file came with this; it is in the sandbox at /w/a.txt]")]
    assert fitting([block], Abilities(image=True)) == words
    large = resource_block("file:///w/a.txt", "x" * (blocks.RESOURCE_CHARACTERS + 1))
    assert fitting([large], ALL) == words


def test_an_image_without_a_place_is_named_all_the_same():
    (block,) = fitting([image_block("image/png", PNG)], Abilities())
    assert block == text_block("[An image came with this that cannot be shown here.]")


def test_all_attachments_together_are_bounded_and_text_never_is(monkeypatch):
    monkeypatch.setattr(blocks, "PROMPT_CHARACTERS", 3 * len(PNG))
    given = [image()] * 5 + [text_block("do it" * 100)]
    kinds = [block["type"] for block in fitting(given, ALL)]
    assert kinds == ["image"] * 3 + ["text"] * 3
    assert fitting(given, ALL)[-1] == given[-1]


def test_sound_and_what_is_not_known_is_never_sent():
    sound = {"type": "audio", "data": PNG, "mimeType": "audio/wav"}
    for block in (sound, {"type": "hologram"}, {"type": ["image"]}, {}):
        assert [each["type"] for each in fitting([block], ALL)] == ["text"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["image", "resource", "audio", "x"]) | JSON},
    optional={"data": JSON, "mimeType": JSON | st.just("image/png"), "uri": JSON, "resource": JSON},
)


@given(st.lists(BLOCK, max_size=4), st.booleans(), st.booleans())
def test_every_block_stays_one_in_its_place_and_can_be_sent(given, image, embedded):
    fit = fitting(given, Abilities(image=image, embedded_context=embedded))
    assert len(fit) == len(given)
    for before, after in zip(given, fit, strict=True):
        assert after["type"] in ("text", before["type"])

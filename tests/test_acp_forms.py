"""Forms of an agent: each field a question to people, the answers sent back, all else declined."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import acp.schema
import pytest
from acp_process import Bench, Heard, asked, play
from hypothesis import given
from hypothesis import strategies as st

from bot.acp.elicitation import FIELDS_MOST, OPTIONS_MOST, TEXT_LIMIT, fill_in, read_form
from bot.acp.questions import Answer, Option, Question
from bot.acp.turn import StopReason


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()


FORM = "elicitation/create"


class People:
    """Answers questions in order, and keeps them."""

    def __init__(self, *answers: str | None) -> None:
        self.asked: list[Question] = []
        self._answers = list(answers)

    async def __call__(self, question: Question) -> Answer | None:
        self.asked.append(question)
        answer = self._answers.pop(0) if self._answers else None
        return None if answer is None else Answer(answer)


def form(properties: dict[str, Any], *required: str, message: str = "Well?") -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"sessionId": "puppet-1", "mode": "form", "message": message, "requestedSchema": schema}


YES_OR_NO = (Option("true", "Yes"), Option("false", "No"))
CHOICE = {"type": "string", "title": "Store", "oneOf": [
    {"const": "pg", "title": "Postgres", "description": "Relational"}, {"const": "rd", "title": "Redis"},
]}  # fmt: skip


async def test_a_form_becomes_a_question_with_options_and_the_answer_goes_back(bench):
    people = People("rd")
    client = await bench.puppet(questions=people)
    result = await asked(client, FORM, form({"store": CHOICE}, message="Which store?"))
    options = (Option("pg", "Postgres (Relational)"), Option("rd", "Redis"))
    assert people.asked == [Question("Which store?\nStore", options)]
    assert result == {"action": "accept", "content": {"store": "rd"}}
    acp.schema.AcceptElicitationResponse.model_validate(result)


@pytest.mark.parametrize(
    ("described", "question", "answer", "content"),
    [
        ({"type": "string", "enum": ["a"]}, Question("Well?", (Option("a", "a"),)), "a", "a"),
        ({"type": "boolean"}, Question("Well?", YES_OR_NO), "false", False),
        ({"type": "boolean"}, Question("Well?", YES_OR_NO), "true", True),
        ({"type": "string", "title": "In short"}, Question("Well?\nIn short", (), True), " so\a", "so"),
        ({"type": "integer"}, Question("Well?", (), True), "7", 7),
        ({"type": "number"}, Question("Well?", (), True), "1.5", 1.5),
        ({"type": "array", "items": {"enum": ["a"]}}, Question("Well?", (Option("a", "a"),)), "a", ["a"]),
        ({"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
         Question("Well?", (Option("a", "A"),)), "a", ["a"]),
    ],
)  # fmt: skip
async def test_each_kind_of_field_is_a_question_and_its_answer_has_the_right_kind(
    described, question, answer, content
):
    people = People(answer)
    assert await fill_in(form({"x": described}, "x"), people) == {
        "action": "accept",
        "content": {"x": content},
    }
    assert people.asked == [question]


@pytest.mark.parametrize(
    ("answer", "content"), [("pg", {"q": "pg"}), ("Neither, a file", {"q_custom": "Neither, a file"})]
)
async def test_a_text_that_belongs_to_a_choice_is_no_second_question(answer, content):
    """So does Claude's adapter with its questions."""
    people = People(answer)
    result = await fill_in(form({"q": CHOICE, "q_custom": {"type": "string", "title": "Other"}}), people)
    assert [question.free_text for question in people.asked] == [True]
    assert result == {"action": "accept", "content": content}


async def test_several_fields_are_asked_one_after_the_other_and_the_first_tells_what_it_is_about():
    people = People("pg", None, "true")
    fields = {"a": CHOICE, "note": {"type": "string"}, "b": {"type": "boolean", "title": "Sure?"}}
    result = await fill_in(form(fields, "a", "b", message="Two things."), people)
    assert [question.text for question in people.asked] == ["Two things.\nStore", "note", "Sure?"]
    assert result == {"action": "accept", "content": {"a": "pg", "b": True}}


@pytest.mark.parametrize(
    ("described", "answer"),
    [(CHOICE, None), (CHOICE, "mysql"), ({"type": "integer"}, "many"), ({"type": "number"}, "nan"),
     ({"type": "integer"}, "9" * 1_900), ({"type": "string"}, "\x1b[2J "), ({"type": "boolean"}, "maybe")],
)  # fmt: skip
async def test_no_answer_or_an_impossible_one_ends_a_form(described, answer):
    people = People(answer, "pg")
    assert await fill_in(form({"x": described, "y": CHOICE}, "x"), people) == {"action": "cancel"}
    assert len(people.asked) == 1


async def test_a_form_that_nobody_answers_at_all_is_cancelled():
    assert await fill_in(form({"x": CHOICE, "y": CHOICE}), People()) == {"action": "cancel"}


DECLINED: dict[str, Any] = {
    "an address": {"mode": "url", "elicitationId": "e", "url": "https://evil.example/login"},
    "an address with a form": form({"x": CHOICE}) | {"mode": "url", "url": "https://evil.example"},
    "a form that needs more than we can ask": form({"x": {"type": "object"}, "y": CHOICE}, "x"),
    "many fields nobody can ask": form({"y": CHOICE} | {f"x{n}": {"type": "object"} for n in range(1_000)}),
    "a mode of a newer protocol": {"mode": "_hologram"},
    "no mode": {"mode": None},
    "no fields": form({}),
    "no schema": {"mode": "form"},
    "a schema that is a list": {"mode": "form", "requestedSchema": [1]},
    "a form in a form": form({"x": {"type": "object", "properties": {"y": {"type": "string"}}}}, "x"),
    "a choice without choices": form({"x": {"type": "string", "enum": []}}, "x"),
    "a list of one's own": form({"x": {"type": "array", "items": {"type": "string"}}}, "x"),
    "a field with a name nobody could send back": form({"x\ud800": CHOICE}, "x\ud800"),
    "more fields than anybody answers": form({f"x{n}": CHOICE for n in range(FIELDS_MOST + 1)}),
    "ten thousand fields": form({f"x{n}": CHOICE for n in range(10_000)}),
}


@pytest.mark.parametrize("params", DECLINED.values(), ids=DECLINED)
async def test_what_cannot_be_put_to_people_is_declined_and_nobody_is_asked(bench, params):
    people = People("pg")
    client = await bench.puppet(questions=people)
    result = await asked(client, FORM, {"message": "Your password?", **params, "sessionId": "puppet-1"})
    assert (result, people.asked) == ({"action": "decline"}, [])


async def test_a_form_of_another_session_or_of_none_is_invalid(bench):
    client = await bench.puppet(questions=People("pg"))
    for scope in ({"sessionId": "other"}, {"requestId": 1, "sessionId": None}):
        _, heard = await play(client, ["request", "q", FORM, form({"x": CHOICE}) | scope])
        assert json.loads(heard.text)["error"]["code"] == -32602


async def test_a_form_that_nobody_decides_is_cancelled_after_its_limit(bench):
    async def never(question: Question) -> Answer | None:
        await asyncio.Event().wait()
        return None

    client = await bench.puppet(questions=never, answer_seconds=0.1)
    assert await asked(client, FORM, form({"x": CHOICE})) == {"action": "cancel"}


async def test_an_open_form_is_cancelled_with_its_turn(bench):
    asking = asyncio.Event()

    async def never(question: Question) -> Answer | None:
        asking.set()
        await asyncio.Event().wait()
        return None

    client = await bench.puppet(questions=never)
    heard = Heard()
    ask = ["request", 7, FORM, form({"x": CHOICE})]
    turn = asyncio.create_task(play(client, ask, ["stop", {"stopReason": "cancelled"}], listener=heard))
    await asyncio.wait_for(asking.wait(), 20)
    assert await client.cancel() is True
    assert (await turn)[0] is StopReason.CANCELLED
    assert json.loads(heard.text)["result"] == {"action": "cancel"}


def test_of_ten_thousand_choices_a_bounded_number_is_put_to_people():
    titled = {"type": "string", "oneOf": [{"const": f"{n}", "title": "t" * 5_000} for n in range(10_000)]}
    plain = {"type": "string", "enum": [f"{n}" for n in range(10_000)]}
    for described in (titled, plain):
        (field,) = read_form(form({"x": described}, message="m" * 100_000))
        assert len(field.question.options) == OPTIONS_MOST
        assert len(field.question.text) <= TEXT_LIMIT
        assert all(len(option.label) <= 150 for option in field.question.options)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(["string", "boolean", "array", "integer", "number", "object"])
NAMED = st.fixed_dictionaries({}, optional={"const": JSON, "title": JSON, "description": JSON})
LISTED = JSON | st.lists(NAMED | st.text(max_size=3), max_size=3)
FIELD = st.fixed_dictionaries(
    {"type": KINDS | JSON},
    optional={
        "title": JSON,
        "description": JSON,
        "enum": LISTED,
        "oneOf": LISTED,
        "items": JSON | st.fixed_dictionaries({}, optional={"enum": LISTED, "anyOf": LISTED}),
    },
)


@given(
    st.dictionaries(st.text(max_size=3), JSON | FIELD, max_size=4),
    st.lists(st.text(max_size=3)) | JSON,
    JSON,
    st.text(max_size=5),
)
def test_no_form_and_no_answer_makes_it_raise_or_send_back_what_is_no_json(
    properties, required, message, own
):
    schema = {"properties": properties, "required": required}
    fields = read_form({"mode": "form", "message": message, "requestedSchema": schema})
    for field in fields:
        shown = [field.question.text, *(option.label for option in field.question.options)]
        assert all(text.encode() is not None and "\x1b" not in text for text in shown)
        for value in (own, *(option.value for option in field.question.options)):
            content = field.content(Answer(value))
            json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
            assert not any(isinstance(x, float) and math.isnan(x) for x in content.values())

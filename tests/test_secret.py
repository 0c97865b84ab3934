"""A secret shows itself only to who asks with `reveal`."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest

from storage import Secret

pytestmark = pytest.mark.proof("canary")

VALUE = "xoxb-do-not-show-me"


@pytest.fixture
def secret() -> Secret:
    return Secret(VALUE, "env SLACK_BOT_TOKEN")


def test_it_is_hidden_in_every_way_of_making_text(secret: Secret) -> None:
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        f"{secret:>50}",
        "".join(["token ", str(secret)]),
    ]
    shown += [repr({"a": [secret]}), json.dumps({"a": secret}, default=str)]
    assert not [text for text in shown if VALUE in text]
    assert "SLACK_BOT_TOKEN" in repr(secret)
    assert secret.reveal() == VALUE


def test_it_is_hidden_in_logs_and_tracebacks(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("x").warning("token %s %r", secret, {"t": secret})
    try:
        raise ValueError(f"refused: {secret}")
    except ValueError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert VALUE not in caplog.text
    assert "secret = Secret(env SLACK_BOT_TOKEN)" in text
    assert VALUE not in text


def test_it_cannot_be_pickled_copied_or_taken_apart(secret: Secret) -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy, vars):
        with pytest.raises(TypeError):
            attempt(secret)


def test_it_cannot_be_copied_out_of_a_dataclass(secret: Secret) -> None:
    @dataclass
    class Settings:
        token: Secret

    assert VALUE not in repr(Settings(secret))
    with pytest.raises(TypeError):
        asdict(Settings(secret))


def test_it_is_compared_by_value_and_only_with_secrets(secret: Secret) -> None:
    assert secret == Secret(VALUE, "elsewhere")
    assert secret != Secret("other")
    assert secret != VALUE
    assert len({secret, Secret(VALUE)}) == 1
    assert secret and not Secret("")

"""A valid configuration, changed in any way: settings or mistakes in words, and never a secret."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
import tomllib
from datetime import date, datetime, time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from slack_kit import places

from bot.config import Settings, load, parse
from bot.config_models import CoreSettings, PluginSettings
from bot.errors import ConfigError
from bot.playground.household import Household, household
from bot.plugins import Plugins

pytestmark = pytest.mark.proof("input")

EXAMPLES, PROCESSES = 300, 5
SECRET = "xoxb-" + "canary4canary4canary4canary4"
Table = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Household:
    """Whose configuration names every secret there is by reference to files."""
    return household(tmp_path_factory.mktemp("home"), port=0, prefix="canary")


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    """The real ones, whose sections are checked with the core's."""
    return Plugins()


def models(plugins: Plugins) -> dict[str, type[BaseModel]]:
    """Every section there is: the core's and each plugin's own."""
    found = {
        name: info.annotation
        for name, info in CoreSettings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }
    return found | dict(plugins.schemas(PluginSettings()).models)


def filled(table: Table, plugins: Plugins) -> Table:
    """The valid configuration with every setting of the schema written out that has a plain default."""
    whole = copy.deepcopy(table)
    for name, model in models(plugins).items():
        section = whole.setdefault(name, {})
        for key, field in model.model_fields.items():
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            if isinstance(default, str | int | float | list | dict) and not isinstance(default, BaseModel):
                section.setdefault(key, copy.deepcopy(default))
    return whole


TEXTS = st.sampled_from(
    [
        *(
            "",
            " ",
            "\0",
            "\n",
            "a\r\nb",
            "\u202e",
            "\u200b",
            "é" * 300,
            "x" * 5_000,
            "../..",
            "~nobody/x",
            "/",
        ),
        *(
            "0",
            "true",
            "nan",
            "http://",
            "http://a b/",
            "https://[::1",
            "ftp://x/",
            "//x/",
            "-f",
            "a/b",
            "/x",
        ),
        *(SECRET, f"key={SECRET}", "ghp_" + "Ab1" * 12, "-----BEGIN PRIVATE KEY-----", "${HOME}", "{{7*7}}"),
    ]
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**31 + 1, 2**63 - 1, -(2**63), 2**63, 2**200]),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -0.0, 0.5, 5e-324]),
    st.dates(),
    st.datetimes(),
    st.times(),
    TEXTS,
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, table: Table) -> Table:
    """One to five changes of keys, types, bounds and nesting, anywhere."""
    made = copy.deepcopy(table)
    for _ in range(draw(st.integers(1, 5))):
        path = draw(st.sampled_from(list(places(made)) or [()]))
        if not path:
            break
        parent: Any = made
        for step in path[:-1]:
            parent = parent[step]
        change(draw, parent, path[-1])
    return made


def change(draw: st.DrawFn, parent: Any, key: Any) -> None:
    match draw(st.sampled_from(["drop", "value", "value", "nest", "rename", "beside", "double"])):
        case "drop":
            del parent[key]
        case "value":
            parent[key] = draw(VALUES)
        case "nest":
            for _ in range(draw(st.sampled_from([1, 2, 40]))):
                parent[key] = draw(st.sampled_from([{"x": parent[key]}, [parent[key]]]))
        case "rename" if isinstance(parent, dict):
            parent[draw(TEXTS) or "x"] = parent.pop(key)
        case "beside" if isinstance(parent, dict):
            parent[f"{key}{draw(st.sampled_from(['s', '_', SECRET]))}"] = draw(VALUES)
        case "double" if isinstance(parent, list):
            parent += [copy.deepcopy(parent[key])] * draw(st.sampled_from([1, 50]))


def toml(value: Any) -> str:
    """One value as TOML writes it, which has a form for each of those above."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return "nan" if math.isnan(value) else str(value) if math.isinf(value) else repr(value)
        case datetime() | date() | time():
            return value.isoformat()
        case str():
            escaped = (f"\\u{ord(c):04x}" if ord(c) < 32 or c in '"\\\x7f' else c for c in value)
            return '"' + "".join(escaped) + '"'
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    raise TypeError(type(value))


def document(table: Table) -> str:
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())


def assert_in_words(error: ConfigError, secrets: set[str]) -> None:
    """Each mistake says where, what was expected, what was found, and what to do; none shows a secret."""
    assert error.mistakes
    for mistake in error.mistakes:
        for part in (mistake.key, mistake.expected, mistake.got, mistake.fix):
            assert part.strip(), mistake
            assert len(part) < 1_000, mistake
    said = f"{error}{error!r}{error.mistakes!r}"
    assert [secret for secret in secrets if secret in said] == []
    assert all(c.isprintable() or c == "\n" for c in str(error)), repr(str(error))


def test_any_change_to_a_valid_file_gives_settings_or_mistakes_in_words(
    home: Household, plugins: Plugins, record_property: Any
) -> None:
    """Read as TOML from a file, checked against the core's schema and those of all built-in plugins."""
    whole = filled(tomllib.loads(home.config.read_text()), plugins)
    assert isinstance(parse(whole, "config.toml", plugins, folder=home.folder), Settings)
    secrets = {SECRET, *home.secrets.values()}
    path = home.folder / "mutated.toml"
    outcomes = {"settings": 0, "mistakes": 0}

    @settings(max_examples=EXAMPLES)
    @given(mutated(whole))
    def check(table: Table) -> None:
        path.write_text(document(table))
        try:
            read = load(path, plugins)
        except ConfigError as error:
            outcomes["mistakes"] += 1
            assert_in_words(error, secrets)
        else:
            outcomes["settings"] += 1
            assert not [secret for secret in secrets if secret in repr(read)]

    check()
    record_property("cases", sum(outcomes.values()))
    assert min(outcomes.values()) > EXAMPLES / 50, outcomes


def test_check_ends_with_words_and_never_a_traceback_whatever_the_file(
    home: Household, plugins: Plugins, record_property: Any
) -> None:
    """The real command, a process each; exit code 0 or 2, as JSON too."""
    whole = filled(tomllib.loads(home.config.read_text()), plugins)
    tables: list[Table] = []

    @settings(max_examples=PROCESSES)
    @given(mutated(whole))
    def gather(table: Table) -> None:
        tables.append(table)

    gather()
    for number, table in enumerate(tables[:PROCESSES]):
        path = home.folder / f"sample{number}.toml"
        path.write_text(document(table))
        options = ["--json"] if number % 2 else []
        command = [sys.executable, "-m", "bot", "check", "--config", str(path), *options]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=os.environ, check=False
        )
        assert done.returncode in (0, 2), done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert not options or json.loads(done.stdout)["ok"] is (done.returncode == 0)
    record_property("cases", min(len(tables), PROCESSES))


def test_every_section_of_the_schema_is_among_those_mutated(home: Household, plugins: Plugins) -> None:
    """So that a new plugin's settings are attacked without anybody thinking of it."""
    whole = filled(tomllib.loads(home.config.read_text()), plugins)
    assert models(plugins).keys() <= whole.keys()
    assert {"slack", "limits", "pr_creator", "agents", "sandbox_runner"} <= whole.keys()

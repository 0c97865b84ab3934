"""What the README says is so: its snippets run, its commands, links, paths and tests are there."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from slack_sdk.web.async_client import AsyncWebClient

from bot.bounds import as_markdown, core_bounds, published
from bot.cli import cli
from bot.config import Settings, load
from bot.config_models import GitSettings, LimitSettings
from bot.playground import people
from bot.plugins import Plugins
from bot.slack.checks import SCOPES
from bot.testing import Botty, Thread
from plugins.sandbox_runner import bounds
from plugins.sandbox_runner.cgroups import CONTROLLERS, Hierarchy
from plugins.sandbox_runner.settings import Settings as SandboxSettings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BENCHMARKS = ROOT / "tests" / "benchmarks"
SCREENSHOT_BYTES = 250_000
ROOMS = ("bot", "plugins", "storage", "tests", "extension")
TEST_SECONDS = 60

READ = {"channels:read", "groups:read", "im:read", "mpim:read"}
HISTORY = {"channels:history", "groups:history", "im:history", "mpim:history"}
# What Slack asks for each method, by its own reference. A method that is not here is one nobody thought of.
METHOD_SCOPES: dict[str, set[str]] = {
    "api_test": set(),
    "auth_test": set(),
    "apps_connections_open": set(),  # the app token's, which has a scope of its own
    "users_info": {"users:read"},
    "users_conversations": READ,
    "conversations_info": READ,
    "conversations_history": HISTORY,
    "conversations_replies": HISTORY,
    "chat_postMessage": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_update": {"chat:write"},
    "chat_getPermalink": set(),
    "chat_startStream": {"chat:write"},
    "chat_appendStream": {"chat:write"},
    "chat_stopStream": {"chat:write"},
    "agents_sessions_setStatus": {"chat:write", "assistant:write"},
    "reactions_add": {"reactions:write"},
    "files_info": {"files:read"},
    "files_getUploadURLExternal": {"files:write"},
    "files_completeUploadExternal": {"files:write"},
}
EVENT_SCOPES: dict[str, set[str]] = {
    "app_mention": {"app_mentions:read"},
    "message.channels": {"channels:history"},
    "message.groups": {"groups:history"},
    "message.im": {"im:history"},
    "message.mpim": {"mpim:history"},
    "reaction_added": {"reactions:read"},
    "agent_session_stopped": {"assistant:write"},
}


# -- reading the README --------------------------------------------------------------------------


@cache
def tokens() -> list[Token]:
    """All tokens, those inside of lines too."""
    parsed = MarkdownIt("commonmark").enable("table").parse(README.read_text())
    return [inner for token in parsed for inner in [token, *(token.children or [])]]


def fences(language: str) -> list[str]:
    return [token.content for token in tokens() if token.type == "fence" and token.info == language]


@cache
def spans() -> list[str]:
    """Everything in backticks within a line."""
    return [token.content for token in tokens() if token.type == "code_inline"]


def command_lines() -> list[str]:
    """Every `threadsmith …` named anywhere, without its comment."""
    shell = [line.partition("#")[0] for fence in fences("sh") for line in fence.splitlines()]
    found = [line.strip().removeprefix(".venv/bin/") for line in [*shell, *spans()]]
    return sorted({line for line in found if line.startswith("threadsmith ")})


def make_goals() -> list[str]:
    return sorted(set(re.findall(r"\bmake ([a-z]+)\b", "\n".join([*fences("sh"), *spans()]))))


def links() -> list[str]:
    """Where links and pictures lead, those in HTML too."""
    html = "\n".join(token.content for token in tokens() if token.type.startswith("html"))
    plain = [token.attrGet("href") or token.attrGet("src") for token in tokens()]
    return sorted(
        {str(link) for link in [*plain, *re.findall(r'(?:src|srcset|href)="([^"]+)"', html)] if link}
    )


def paths() -> list[str]:
    """What looks like a path of ours, in backticks or in the picture."""
    drawn = re.findall(rf"\b(?:{'|'.join(ROOMS)})/[\w/.]+", "\n".join(fences("mermaid")))
    named = [span for span in spans() if re.fullmatch(rf"(?:{'|'.join(ROOMS)})(?:/[\w.-]+)+", span)]
    return sorted({*drawn, *named})


# -- snippets ------------------------------------------------------------------------------------


def test_the_plugin_and_its_test_work_as_they_stand_there(tmp_path: Path) -> None:
    """Copied into files of the names given, pytest runs the one against the other."""
    plugin, test = fences("python")
    [ini] = fences("ini")
    (tmp_path / "my_plugins").mkdir()
    for name, text in {"my_plugins/ping.py": plugin, "test_ping.py": test, "pytest.ini": ini}.items():
        assert name in spans()
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TEST_SECONDS)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def loaded(folder: Path, text: str) -> Settings:
    (folder / "my_plugins").mkdir(mode=0o755)
    (folder / "config.toml").write_text(text)
    names = re.findall(r'env = "(\w+)"', text)
    environment = dict.fromkeys(names, "a-token")
    return load(folder / "config.toml", Plugins(), environment=environment)


def test_the_configuration_loads_with_the_variables_it_names(tmp_path: Path) -> None:
    """What is said to be all that is needed is, and the plugin's lines fit to it."""
    minimal, plugins = fences("toml")
    settings = loaded(tmp_path, minimal + plugins)
    assert [repository.name for repository in settings.repositories] == ["acme/storefront"]
    assert settings.plugins.folder == tmp_path / "my_plugins"


@pytest.mark.parametrize("request_line", fences("text")[0].splitlines())
async def test_a_request_that_is_suggested_ends_in_a_pull_request(botty: Botty, request_line: str) -> None:
    """Written as it stands there, in the channel that is named."""
    channel = botty.channel("web")
    thread = Thread(botty, channel, await botty.post(channel, request_line))
    assert "Done. Pull request" in (await thread.final()).text
    assert len(await botty.pulls()) == 1


# -- the manifest --------------------------------------------------------------------------------


def manifest() -> dict[str, Any]:
    [text] = fences("json")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def methods_called() -> set[str]:
    """The Web API methods named in the Slack edge, as calls of the client or by name."""
    known = {name for name in dir(AsyncWebClient) if "_" in name.strip("_") and name not in {"api_call"}}
    found: set[str] = set()
    for path in (ROOT / "bot" / "slack").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in known:
                found.add(node.attr)
            if isinstance(node, ast.Constant) and str(node.value).replace(".", "_") in known:
                found.add(str(node.value).replace(".", "_"))
    return found


def events_read() -> set[str]:
    """The kinds of events that the intake tells apart."""
    source = (ROOT / "bot" / "slack" / "intake.py").read_text()
    [function] = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "_event"
    ]
    compared = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == "kind"
    ]
    constants = [node for each in compared for node in ast.walk(each) if isinstance(node, ast.Constant)]
    return {str(node.value) for node in constants}


def test_the_manifest_asks_for_the_scopes_of_what_is_called_and_no_other() -> None:
    """Each method and event needs its own; a slash command needs `commands`."""
    assert methods_called() <= METHOD_SCOPES.keys()
    wanted = manifest()
    needed = {"commands"}.union(
        *(METHOD_SCOPES[method] for method in methods_called()),
        *(EVENT_SCOPES[event] for event in wanted["settings"]["event_subscriptions"]["bot_events"]),
    )
    assert sorted(wanted["oauth_config"]["scopes"]["bot"]) == sorted(needed)
    assert needed == SCOPES == set(people.SCOPES), "what doctor and the playground know of it"


def test_the_manifest_subscribes_to_the_events_that_are_read_and_no_other() -> None:
    """`message` comes from four kinds of conversations, each subscribed to by itself."""
    events = manifest()["settings"]["event_subscriptions"]["bot_events"]
    assert {event.partition(".")[0] for event in events} == events_read()
    assert {event for event in EVENT_SCOPES if event.startswith("message.")} <= set(events)


def test_the_manifest_is_for_socket_mode_and_names_our_command(tmp_path: Path) -> None:
    """The command is the one that the bot listens to when nothing else is configured."""
    wanted = manifest()
    [command] = wanted["features"]["slash_commands"]
    assert command["command"] == loaded(tmp_path, fences("toml")[0]).slack.command
    assert wanted["settings"]["socket_mode_enabled"]
    assert wanted["settings"]["interactivity"]["is_enabled"]
    assert len(wanted["features"]["agent_view"]["agent_description"]) <= 300
    assert len(wanted["display_information"]["description"]) <= 140


# -- commands ------------------------------------------------------------------------------------


def leaves(group: click.Group, name: str) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for word, command in group.commands.items():
        path = f"{name} {word}"
        if isinstance(command, click.Group):
            found |= leaves(command, path)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[path] = command
    return found


COMMANDS = leaves(cli, "threadsmith")


@pytest.mark.parametrize("line", command_lines())
def test_a_command_that_is_named_exists_with_its_arguments(line: str) -> None:
    """The longest name that fits; what is left are arguments in capitals, or options it knows."""
    name = max((name for name in COMMANDS if f"{line} ".startswith(f"{name} ")), key=len, default="")
    assert name or line == "threadsmith sessions", f"there is no {line}"
    rest = line.removeprefix(name).split()
    parameters = COMMANDS[name].params if name else []
    options = {option for each in parameters for option in each.opts}
    arguments = [str(each.name).upper() for each in parameters if isinstance(each, click.Argument)]
    assert [word for word in rest if word.isupper()] in ([], arguments)
    assert {word for word in rest if word.startswith("-")} <= options


def test_every_command_is_in_the_table() -> None:
    """A new one has to be told about."""
    assert {name for name in COMMANDS if not any(span.startswith(name) for span in spans())} == set()


@pytest.mark.parametrize("goal", make_goals())
def test_a_make_goal_that_is_named_exists(goal: str) -> None:
    """In the Makefile, with a line of help."""
    assert re.search(rf"^{goal}:.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


# -- links, paths and tests ----------------------------------------------------------------------


@pytest.mark.parametrize("link", [link for link in links() if "://" not in link])
def test_a_relative_link_leads_somewhere(link: str) -> None:
    """To a file of this repository."""
    assert (ROOT / link.partition("#")[0]).exists()


def test_pictures_are_real_and_small() -> None:
    """PNG files, each below the size that a page can carry."""
    pictures = [ROOT / link for link in links() if link.endswith(".png")]
    assert len(pictures) >= 2
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert picture.stat().st_size < SCREENSHOT_BYTES


@pytest.mark.parametrize("path", paths())
def test_a_path_that_is_named_exists(path: str) -> None:
    """In this repository."""
    assert (ROOT / path).exists()


def test_the_tests_that_are_said_to_hold_the_rules_exist() -> None:
    """Each of the eleven names one."""
    written = {
        name
        for path in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = {span for span in spans() if re.fullmatch(r"test_\w+", span)}
    assert len(named) >= 11
    assert named <= written


# -- measuring -----------------------------------------------------------------------------------


def test_the_bench_gives_rows_of_one_table() -> None:
    """As JSON: what, ours, the baseline and their ratio; progress stays out of it."""
    command = [sys.executable, str(BENCHMARKS), "storage", "--rounds", "3", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TEST_SECONDS)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["storage"]["rows"]
    assert all(row.keys() == {"what", "ours_ms", "baseline_ms", "ratio", "note"} for row in rows)
    assert any(row["ratio"] for row in rows)


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("bench_*.py")), ids=lambda path: path.stem)
def test_a_bench_says_how_often_it_measures(path: Path) -> None:
    """`run`, and the rounds of a whole and of a quick measurement."""
    body = ast.parse(path.read_text()).body
    assert any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in body)
    assert any("ROUNDS, QUICK" in ast.unparse(node) for node in body if isinstance(node, ast.Assign))


# -- bounds --------------------------------------------------------------------------------------


def table_of_bounds() -> str:
    """The one the README publishes, from the code that enforces it."""
    groups = Hierarchy(2, dict.fromkeys(CONTROLLERS, Path("/sys/fs/cgroup")))
    limits = SandboxSettings.model_validate({}).limits
    core = core_bounds(LimitSettings.model_validate({}), GitSettings.model_validate({}))
    variants = {
        "with control groups": [*bounds.table(limits, groups, overlay=True), *core],
        "without": [*bounds.table(limits, None, overlay=True), *core],
    }
    table = as_markdown(["what", "at most", *variants], published(variants))
    return re.sub(
        r"\b\d+ a program", f"{bounds.FEWEST_OPEN_FILES} or more a program", table
    )  # as the host has


def test_the_table_of_bounds_is_what_the_code_says() -> None:
    """Word for word; put this in its place when a bound has changed."""
    wanted = table_of_bounds()
    assert wanted in README.read_text(), f"the README should have:\n\n{wanted}\n"
    assert wanted.count("best effort") >= 3

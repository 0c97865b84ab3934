"""`threadsmith doctor`: each thing is really broken, and the line says what and how to mend it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playground_fixtures import APP_TOKEN, BOT_TOKEN, running

from bot.cli import main
from bot.config_models import SlackSettings
from bot.playground.household import Household, household
from bot.slack.checks import SCOPES, check_slack
from bot.testing import Botty
from plugins.sandbox_runner import checks as kernel
from plugins.sandbox_runner.starting import NO_NAMESPACES
from storage import Secret

Json = dict[str, Any]
DOCTOR = [sys.executable, "-m", "bot", "doctor", "--json"]
SECONDS = 90
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can break this machine for one process")

UBUNTU = "bwrap: setting up uid map: Permission denied"
DOCKER = (
    "bwrap: No permissions to create new namespace, likely because the kernel does not allow "
    "non-privileged user namespaces."
)


@pytest.fixture
def home(tmp_path: Path) -> Household:
    """A household nobody lives in: its ports are free."""
    return household(tmp_path / "household", port=0)


def broken_machine(how: str, *arguments: str, cwd: Path) -> tuple[int, Json]:
    """What the doctor says on a machine on which a script broke something, for it alone."""
    script = f'set -e; {how}; exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"]
    done = subprocess.run(
        [*command, *DOCTOR, *arguments], cwd=cwd, capture_output=True, text=True, timeout=SECONDS
    )
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def line(answer: Json, what: str) -> Json:
    return next(each for each in answer["checks"] if each["what"] == what)


def hide(program: str) -> str:
    """Nobody can run it."""
    return f"mount --bind /dev/null {shutil.which(program)}"


def stand_in(folder: Path, text: str) -> str:
    """A bwrap that ends as it does where the kernel gives it no namespaces."""
    fake = folder / "bwrap"
    fake.write_text(
        f"#!/bin/sh\n[ \"$1\" = --version ] && echo bubblewrap 0.9.0 && exit\necho '{text}' >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    return f"mount --bind {fake} /usr/bin/bwrap"


# -- this machine --------------------------------------------------------------------------------


def test_without_a_configuration_only_this_machine_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And said so; nothing is left behind; every bound of every provider and of the bot itself is listed."""
    monkeypatch.chdir(tmp_path)
    code = main(["doctor"])
    shown = capsys.readouterr()
    assert (code, shown.err) == (0, "")
    assert "no outside service was tried" in shown.out
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"]
    tried = {each["what"] for each in answer["checks"]}
    assert {"git", "data folder", "open files", "bubblewrap", "tar", "a sandbox", "control groups"} <= tried
    assert {each["of"] for each in answer["bounds"]} == {"the bot", "provider local"}
    assert all(each["what"] in shown.out for each in [*answer["checks"], *answer["bounds"]])
    for each in answer["checks"]:  # whatever this machine has or lacks
        assert bool(each["fix"]) is (each["verdict"] != "ok"), each
        assert each["found"]
    assert list(tmp_path.iterdir()) == []


BREAKS = {
    "parts": (
        [
            *map(hide, ("bwrap", "tar", "git")),
            "ulimit -n 300",
            "mount -t tmpfs -o size=40m none data",
            "mount --bind /dev/null /proc/sys/kernel/seccomp/actions_avail",
        ],
        {
            "bubblewrap": ("broken", "cannot be run", "apt-get install bubblewrap"),
            "tar": ("broken", "cannot be run", "apt-get install tar"),
            "git": ("broken", "cannot be run", "apt-get install git"),
            "open files": ("best effort", "at most 300", "ulimit -n 1024"),
            "data folder": ("broken", "MiB free", "df -h"),
            "system call filter": ("broken", "no seccomp", "CONFIG_SECCOMP_FILTER"),
            "a sandbox": ("broken", "cannot be made", "apt-get install bubblewrap"),
        },
    ),
    "inside": (
        [
            hide("git"),
            "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none data",
            "for each in $(awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts)",
            "do mount -o remount,bind,ro $each",
            "done",
        ],
        {
            "a sandbox": ("ok", "", ""),
            "git in a sandbox": ("broken", "not there", "read_only of [sandbox_runner]"),
            "overlay": ("best effort", "plain folders", "ext4"),
            "control groups": ("best effort", "memory, pids, cpu", "as root"),
        },
    ),
    "AppArmor": (["STAND-IN Ubuntu"], {"user namespaces": ("broken", UBUNTU, "")}),
    "Docker": (["STAND-IN Docker"], {"user namespaces": ("broken", DOCKER, "")}),
}


@needs_root
@pytest.mark.parametrize("which", BREAKS)
def test_a_part_of_this_machine_that_is_really_missing_is_named_with_its_fix(
    tmp_path: Path, which: str
) -> None:
    """Hidden, filled, mounted read-only, or saying what it says under AppArmor and in Docker."""
    for name in ("data", "lower", "upper", "work"):
        (tmp_path / name).mkdir()
    breaks, expected = BREAKS[which]
    fakes = {"STAND-IN Ubuntu": UBUNTU, "STAND-IN Docker": DOCKER}
    script = "; ".join(stand_in(tmp_path, fakes[one]) if one in fakes else one for one in breaks)
    code, answer = broken_machine(script, cwd=tmp_path)
    assert (code, answer["ok"]) == (1, False)
    for what, (verdict, found, fix) in expected.items():
        told = line(answer, what)
        assert told["verdict"] == verdict, told
        assert found in told["found"]
        assert fix in told["fix"]
    if which == "inside":  # the table of bounds says the same
        hard = {each["what"]: each["hard"] for each in answer["bounds"] if each["of"] == "provider local"}
        assert (hard["memory"], hard["processors"], hard["processes"]) == (False, False, True)


@pytest.mark.parametrize(
    ("settings", "container", "fix"),
    [
        ({"user/max_user_namespaces": "0"}, False, "sysctl -w user.max_user_namespaces="),
        ({"kernel/unprivileged_userns_clone": "0"}, False, "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            False,
            "apparmor_restrict_unprivileged_userns=0",
        ),
        ({"user/max_user_namespaces": "9"}, True, "--security-opt seccomp=unconfined"),
        ({}, False, NO_NAMESPACES),
    ],
)
def test_of_all_that_keeps_namespaces_away_the_one_in_force_is_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], container: bool, fix: str
) -> None:
    """As the kernel's own settings say it, then by the marks of a container, else all of them."""
    for name, value in settings.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    (tmp_path / "mark").touch()
    monkeypatch.setattr(kernel, "KERNEL", tmp_path)
    monkeypatch.setattr(kernel, "CONTAINER_MARKS", (tmp_path / "mark",) if container else ())
    assert fix in kernel._unmade(f"{NO_NAMESPACES} (why)").fix


@needs_root
def test_sandbox_users_that_this_container_does_not_map_are_named(tmp_path: Path) -> None:
    """Root in a user namespace that knows root alone, as in rootless containers."""
    done = subprocess.run(
        ["unshare", "-Ur", *DOCTOR], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.returncode, done.stderr) == (1, "")
    told = line(json.loads(done.stdout), "sandbox users")
    assert told["verdict"] == "broken"
    assert "sandbox_user" in told["fix"]


# -- outside services ----------------------------------------------------------------------------


async def ask(*arguments: str) -> tuple[int, str, str]:
    """Run it beside whatever this loop serves."""
    process = await asyncio.create_subprocess_exec(
        *[part for part in DOCTOR if "--json" not in arguments or part != "--json"],
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_bot_that_runs_is_not_disturbed_and_all_is_well(botty: Botty) -> None:
    """Slack, both repositories and each account, on the very folder the bot uses."""
    before = sorted(each.name for each in botty.home.bot_data.iterdir())
    code, out, err = await ask("--config", str(botty.home.config))
    answer = json.loads(out)
    assert (code, err) == (0, ""), out
    tried = {each["what"] for each in answer["checks"]}
    assert {"repository acme/storefront", "repository acme/ledger"} <= tried
    assert len([what for what in tried if what.startswith("Slack: ")]) == 3
    assert len([what for what in tried if what.startswith("GitHub API: ")]) == 4
    assert sorted(each.name for each in botty.home.bot_data.iterdir()) == before
    thread = await botty.say('create a.txt with "a"')
    assert "Done." in (await thread.final()).text
    assert not [secret for secret in botty.home.secrets.values() if secret in out]


@pytest.mark.parametrize(
    ("lost", "verdict"),
    [((), "ok"), (("files:read", "files:write"), "best effort"), (("users:read",), "broken")],
)
async def test_a_scope_that_the_app_lacks_is_named(
    tmp_path: Path, lost: tuple[str, ...], verdict: str
) -> None:
    """Without files all else works; without another one nothing is sure to."""
    async with running(tmp_path) as (side, slack):
        await slack.act("scopes", scopes=sorted(SCOPES - set(lost)))
        tokens = {"bot_token": Secret(BOT_TOKEN, "bot"), "app_token": Secret(APP_TOKEN, "app")}
        found = await check_slack(SlackSettings(**tokens, api_url=side.api_url))
    [scopes] = [each for each in found if each.what == "Slack: scopes"]
    assert scopes.verdict == verdict
    assert all(scope in scopes.found for scope in lost)
    assert "install it again" in scopes.fix or not lost


LOST_TOKENS = (
    ("bot_token", "Slack: bot token (auth.test)", "xoxb-"),
    ("app_token", "Slack: app token (apps.connections.open)", "connections:write"),
    ("github.threadsmith-bot", "repository acme/storefront", "new token"),
    ("github.threadsmith-bot", "GitHub API: threadsmith-bot", "[pr_creator.bot]"),
    ("github.ada-sample", "GitHub API: ada-sample", "[pr_creator.people."),
)


async def test_a_token_that_is_not_taken_is_named_by_where_it_lies_and_never_shown(botty: Botty) -> None:
    """Each with what to put there; one that is somebody else's is told by whose it is."""
    secrets = botty.home.folder / "secrets"
    for name, _, _ in LOST_TOKENS:
        (secrets / name).write_text(f"xoxb-0123456789-wrong-{name}")
    (secrets / "github.ben-sample").write_text(botty.home.secrets["github.chloe-sample"])
    config = elsewhere(botty.home, "", "")
    code, out, err = await ask("--config", str(config))
    answer = json.loads(out)
    assert (code, err) == (1, "")
    for name, what, fix in LOST_TOKENS:
        told = line(answer, what)
        assert told["verdict"] == "broken"
        assert fix in told["fix"]
        assert str(secrets / name) in told["fix"]
    assert line(answer, "GitHub API: chloe-sample")["verdict"] == "ok"
    assert "belongs to chloe-sample" in line(answer, "GitHub API: ben-sample")["found"]
    assert "0123456789" not in out
    assert not [secret for secret in botty.home.secrets.values() if secret in out]


def elsewhere(home: Household, old: str, new: str) -> Path:
    """The household's configuration changed, and without the sandboxes, which have tests of their own."""
    config = home.folder / "changed.toml"
    text = home.config.read_text().replace(old, new) if old else home.config.read_text()
    config.write_text(text + '\n[plugins]\ndisabled = ["sandbox_runner"]\n')
    return config


def test_services_that_cannot_be_reached_are_each_named_with_their_address(
    home: Household, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody listens on any of them: no traceback, and no secret."""
    assert main(["doctor", "--config", str(elsewhere(home, "", "")), "--json"]) == 1
    out, err = capsys.readouterr()
    answer = json.loads(out)
    lost = {each["what"]: each for each in answer["checks"] if each["verdict"] == "broken"}
    assert len(lost) == 2 + 2 + 4
    for what, told in lost.items():
        address = home.slack_url if what.startswith("Slack") else home.github_url
        assert address in told["fix"], told
    assert not [secret for secret in home.secrets.values() if secret in out + err]
    assert "Traceback" not in out + err


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield int(listener.getsockname()[1])


def test_a_service_that_never_answers_does_not_keep_the_others_waiting(
    home: Household, silent: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try has its own end, after which it counts as broken."""
    monkeypatch.setattr("bot.slack.checks._SECONDS", 0.5)
    config = elsewhere(home, f"{home.slack_url}/api/", f"http://127.0.0.1:{silent}/api/")
    assert main(["doctor", "--config", str(config), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert "TimeoutError" in line(answer, "Slack: bot token (auth.test)")["found"]
    assert line(answer, "git")["verdict"] == "ok"


def test_a_check_of_a_plugin_may_be_slow_wrong_or_broken_and_the_others_go_on(
    home: Household, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is blamed by name, and a plugin that cannot be loaded is a line, too."""
    folder = home.folder / "plugins"
    folder.mkdir()
    (folder / "own.py").write_text(
        "import asyncio\n"
        "from bot import Checks, Finding, UserError, Verdict, hookimpl\n"
        "async def slow():\n    await asyncio.sleep(1000)\n"
        "async def raising():\n    raise KeyError('private')\n"
        "async def saying():\n    raise UserError('Buy more paper.')\n"
        "async def fine():\n    return [Finding('printer', Verdict.BEST_EFFORT, 'low on ink', 'Buy ink.')]\n"
        "@hookimpl\n"
        "def register_checks(checks: Checks) -> None:\n"
        "    checks.add('slow one', slow, seconds=0.1)\n"
        "    checks.add('raising one', raising)\n"
        "    checks.add('saying one', saying)\n"
        "    checks.add('fine one', fine)\n"
    )
    (folder / "wreck.py").write_text("raise RuntimeError('private')\n")
    (folder / "late.py").write_text(
        "from bot import hookimpl\n@hookimpl\ndef register_checks(checks):\n    raise OSError('private')\n"
    )
    config = home.folder / "more.toml"
    config.write_text(
        home.config.read_text() + f'\n[plugins]\nfolder = "{folder}"\ndisabled = ["sandbox_runner"]\n'
    )
    assert main(["doctor", "--config", str(config), "--json"]) == 1
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert "no answer within 0.1 s" in line(answer, "slow one")["found"]
    assert "KeyError" in line(answer, "raising one")["found"]
    assert line(answer, "saying one")["found"] == "Buy more paper."
    assert line(answer, "printer") == {
        "what": "printer",
        "verdict": "best effort",
        "found": "low on ink",
        "fix": "Buy ink.",
    }
    assert "left out" in line(answer, "plugin wreck")["found"]
    assert "register_checks" in line(answer, "plugin late")["found"]
    assert "private" not in out + err


def test_a_wrong_configuration_is_exit_code_2_with_its_mistakes(
    home: Household, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is tried with half of it; one that was asked for and is not there counts as wrong."""
    config = home.folder / "wrong.toml"
    config.write_text(home.config.read_text() + "\n[limits]\nattempts = 0\n")
    assert main(["doctor", "--config", str(config)]) == 2
    assert "limits.attempts" in capsys.readouterr().err
    assert main(["doctor", "--config", str(home.folder / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err


async def test_a_branch_that_the_remote_does_not_have_is_told_with_the_way_to_find_its_name(
    botty: Botty,
) -> None:
    """Turns would have nothing to start from."""
    name = 'name = "acme/ledger"\n'
    config = elsewhere(botty.home, name, f'{name}default_branch = "trunk"\n')
    code, out, _ = await ask("--config", str(config))
    told = line(json.loads(out), "repository acme/ledger")
    assert (code, told["verdict"]) == (1, "broken")
    assert "trunk" in told["found"]
    assert "default_branch" in told["fix"]

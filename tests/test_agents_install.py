"""Fetching the programs of agents: whole or not at all, readable by a sandbox's user, with clear mistakes.

The one program here that is really fetched is opencode, which `make test` does before.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from bot.errors import UserError
from bot.testing import Botty
from plugins.agents import install as module
from plugins.agents import opencode
from plugins.agents.install import Program, install, own_program

SHELL = ("sh", "-c")
NAPS = 'while :; do sleep 1; done & echo $! > "$1"; wait'


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


def made_by(folder: Path, script: str, **files: str) -> Program:
    return Program("mine", folder / "agents/mine-1", (*SHELL, script), files)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "agents").iterdir() if path.name != ".lock")


def test_a_program_is_made_in_its_folder_and_then_left_alone(tmp_path):
    program = made_by(tmp_path, "mkdir bin; cp in bin/out; echo x >> ../runs", **{"in": "text"})
    assert install(program, Said())
    assert (program.folder / "bin/out").read_text() == "text"
    assert not install(program, Said())
    assert (tmp_path / "agents/runs").read_text() == "x\n"


def test_what_fails_leaves_nothing_and_can_be_tried_again(tmp_path):
    with pytest.raises(UserError, match="no such luck"):
        install(made_by(tmp_path, "touch half; echo no such luck >&2; exit 3"), Said())
    assert left(tmp_path) == []
    assert install(made_by(tmp_path, "touch whole"), Said())


def test_what_an_earlier_one_left_half_done_is_removed(tmp_path):
    (tmp_path / "agents/.new-old/node_modules").mkdir(parents=True)
    install(made_by(tmp_path, "touch whole"), Said())
    assert left(tmp_path) == ["mine-1"]


def test_whatever_the_umask_others_can_read_it_and_nobody_else_can_write_it(tmp_path):
    script = "umask 077; mkdir -p a/b; touch a/b/text; touch run; chmod 700 run; ln -s run link; chmod 4777 a"
    program = made_by(tmp_path, script)
    install(program, Said())
    modes = {
        name: (program.folder / name).stat().st_mode & 0o7777 for name in ("a", "a/b", "a/b/text", "run")
    }
    assert modes == {"a": 0o755, "a/b": 0o755, "a/b/text": 0o644, "run": 0o755}
    assert program.folder.stat().st_mode & 0o777 == 0o755


def test_how_far_it_is_is_said_while_it_takes_its_time(tmp_path, monkeypatch):
    """Until the line was said the program goes on."""
    monkeypatch.setattr(module, "SAY_SECONDS", 0.01)
    heard = tmp_path / "heard"
    lines = []

    def say(line: str) -> None:
        lines.append(line)
        heard.touch()

    install(made_by(tmp_path, f"until [ -e {heard} ]; do sleep 0.05; done"), say)
    assert "MiB so far" in lines[0]


def test_two_at_once_fetch_it_once(tmp_path):
    program = made_by(tmp_path, "echo x >> ../runs")

    async def both() -> list[bool]:
        return await asyncio.gather(*(asyncio.to_thread(install, program, Said()) for _ in range(2)))

    assert sorted(asyncio.run(both())) == [False, True]
    assert (tmp_path / "agents/runs").read_text() == "x\n"


def test_an_interrupted_one_ends_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAY_SECONDS", 0.01)
    noted = tmp_path / "pid"

    def interrupt(_: str) -> None:
        if noted.exists() and noted.read_text().strip():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install(Program("mine", tmp_path / "agents/mine", (*SHELL, NAPS, "nap", str(noted))), interrupt)
    assert left(tmp_path) == []
    with pytest.raises(ProcessLookupError):
        while True:  # killed already; whoever reaps orphans may need a moment
            state = Path(f"/proc/{noted.read_text().strip()}/stat")
            if not state.exists() or state.read_text().split()[2] == "Z":
                raise ProcessLookupError


def test_a_missing_npm_is_said_with_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt-get install nodejs npm"):
        install(opencode.program(tmp_path / "agents"), Said())
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ENOTFOUND", "the network is there"),
        ("ECONNREFUSED", "the network is there"),
        ("E404", "does not have it"),
        ("EINTEGRITY", "not what was asked for"),
    ],
)
def test_npm_s_codes_are_told_in_words(tmp_path, code, words):
    with pytest.raises(UserError, match=words):
        install(made_by(tmp_path, f"echo npm error code {code} >&2; exit 1"), Said())


def test_a_registry_that_cannot_be_reached_is_said_by_the_real_npm(tmp_path, monkeypatch):
    """Nobody listens on the port of this registry."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="the network is there"):
        install(opencode.program(tmp_path / "agents"), Said())
    assert left(tmp_path) == []


def test_a_login_in_what_it_said_is_not_shown(tmp_path):
    with pytest.raises(UserError) as caught:
        install(made_by(tmp_path, "echo at https://ada:hunter2@registry.example.com/x; exit 1"), Said())
    assert "https://registry.example.com" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_mistake_in_words(tmp_path):
    (tmp_path / "agents").write_text("a file")
    with pytest.raises(UserError, match="cannot be installed into"):
        install(made_by(tmp_path, "true"), Said())


def test_folder_in_a_command_is_where_it_runs(tmp_path):
    program = own_program("mine", ["sh", "-c", 'test "$(pwd -P)" = "$0"', "{folder}"], tmp_path / "agents")
    assert install(program, Said())


def test_opencode_is_pinned_by_content_and_names_no_host(tmp_path):
    files = opencode.program(tmp_path).files
    [(name, entry)] = [
        (name, each) for name, each in json.loads(files["package-lock.json"])["packages"].items() if name
    ]
    assert entry["version"] == opencode.VERSION
    assert json.loads(files["package.json"])["dependencies"] == {name.partition("/")[2]: opencode.VERSION}
    assert "resolved" not in str(files)
    assert "://" not in str(files)


@pytest.mark.parametrize(
    ("machine", "cpu", "libc", "kind"),
    [
        ("x86_64", "flags : sse avx2 fma", "glibc", "x64"),
        ("x86_64", "flags : sse avx fma", "glibc", "x64-baseline"),
        ("x86_64", "flags : avx2", "", "x64-musl"),
        ("aarch64", "Features : fp", "glibc", "arm64"),
        ("arm64", "Features : fp", "", "arm64-musl"),
    ],
)
def test_each_machine_gets_its_own(tmp_path, monkeypatch, machine, cpu, libc, kind):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(opencode, "CPU", tmp_path / "cpuinfo")
    opencode.CPU.write_text(cpu)
    assert opencode.machine.__wrapped__() == kind


# -- the commands ----------------------------------------------------------------------------------

CONFIG = """
data = "data"
[slack]
bot_token = { file = "token" }
app_token = { file = "token" }
[plugins]
disabled = ["pr_creator"]
[agents]
folder = "%s"
default = "mine"
[agents.mine]
command = ["{folder}/run"]
install = ["sh", "-c", "echo x > run"]
description = "Mine alone."
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config.toml, and we are in it."""
    (tmp_path / "token").write_text("xoxb-1")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "config.toml").write_text(CONFIG % (tmp_path / "agents"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_agent_of_the_configuration_is_listed_and_installed(configured, capsys):
    [mine, scripted] = asked(capsys, "agents", "list")["agents"]
    assert (mine["name"], mine["default"], mine["program"]) == ("mine", True, "not installed")
    assert (scripted["program"], scripted["folder"]) == ("nothing to install", None)
    assert [asked(capsys, "agents", "install", "mine")["fresh"] for _ in range(2)] == [True, False]
    assert main(["agents", "list"]) == 0
    assert "mine (default): installed. Mine alone." in capsys.readouterr().out
    assert (Path(mine["folder"]) / "run").read_text() == "x\n"
    assert list(configured.glob(".doctor-*")) == []


def test_what_cannot_be_installed_is_said_with_what_can(configured, capsys):
    assert main(["agents", "install", "scripted"]) == 1
    assert "mine, opencode" in capsys.readouterr().err


def test_without_a_configuration_there_is_opencode_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["agents", "install", "nothing"]) == 1
    assert "It can be done for: opencode" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_check_finds_what_does_not_fit_together(configured, capsys):
    text = (configured / "config.toml").read_text()
    (configured / "config.toml").write_text(text.replace('"mine"', '"opencode"'))
    assert main(["check"]) == 2
    assert "agents.opencode.model" in capsys.readouterr().err
    assert main(["check", "--json"]) == 2
    assert [each["key"] for each in json.loads(capsys.readouterr().out)["mistakes"]] == [
        "agents.opencode.model"
    ]


def test_doctor_names_an_agent_that_is_not_installed(configured, capsys):
    main(["doctor", "--json"])
    found = {each["what"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert found["agent mine"]["fix"] == "threadsmith agents install mine"
    assert "agent opencode" not in found, "without a model it is not there"


def test_opencode_as_it_was_installed_runs(tmp_path):
    folder = opencode.program(Path("~/.cache/threadsmith/agents").expanduser()).folder
    assert folder.is_dir(), "type: .venv/bin/threadsmith agents install opencode (make test does)"
    program = folder / f"node_modules/opencode-linux-{opencode.machine()}/bin/opencode"
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run([program, "--version"], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == opencode.VERSION


class TestAnAgentThatIsNotInstalled:
    @pytest.fixture
    def botty_settings(self, tmp_path: Path) -> dict[str, Any]:
        own = {"command": ["{folder}/run"], "install": ["true"]}
        return {"agents": {"default": "mine", "folder": str(tmp_path / "agents"), "mine": own}}

    async def test_is_said_in_the_thread_with_what_to_type(self, botty: Botty) -> None:
        thread = await botty.say("repo=ledger do it")
        assert "threadsmith agents install mine" in (await thread.final()).everything

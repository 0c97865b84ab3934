"""Bad arguments, to every command there is: words on stderr and an honest exit code, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from bot.cli import cli, main
from bot.playground.household import Household, household

pytestmark = pytest.mark.proof("input")

STARTING = ("demo", "playground", "run")  # which go on for ever when all is right
WRONG = [
    *("", " ", "\n", "-1", "1e9", "9" * 400, "0x10", "{}", "'; DROP TABLE sessions; --", "../../etc/passwd"),
    *("\0", "x\0y", "\udcff", "\u202e\u2066", "\x1b[31m\x07", "x" * 5_000, "--help-me", "/", "/dev/null"),
]
Path_ = tuple[str, ...]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Household:
    return household(tmp_path_factory.mktemp("home"), port=0)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a configuration, where a file stands in everybody's way."""
    monkeypatch.chdir(tmp_path)
    Path("plain").write_text("no folder")


def leaves(group: click.Group, path: Path_ = ()) -> Iterator[tuple[Path_, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(cli))


def values(command: click.Command) -> Iterator[click.Parameter]:
    """The parameters that take a value."""
    flags = [
        each for each in command.params if isinstance(each, click.Option) and (each.is_flag or each.count)
    ]
    return (each for each in command.params if each not in flags)


def invocation(path: Path_, wrong: click.Parameter, value: str, good: str) -> list[str]:
    """All that is needed, right but for one thing; what would start something gets no place to do so."""
    words = list(path)
    for parameter in values(COMMANDS[path]):
        if isinstance(parameter, click.Argument):
            words.append(value if parameter is wrong else "abcdef0123")
        elif parameter is wrong:
            words += [parameter.opts[0], value]
        elif parameter.name in {"config", "data"}:
            stuck = path[0] in STARTING
            words += [parameter.opts[0], "plain/nowhere" if stuck else good]
    return words


def usable(path: Path_, parameter: click.Parameter, value: str) -> bool:
    """Whether a command that starts something would start with it: any name is one for a new folder."""
    return path[0] in STARTING and parameter.name == "data" and "\0" not in value and len(value) < 4_000


def said(capsys: pytest.CaptureFixture[str], words: list[str]) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    assert code in (0, 1, 2), words
    assert "Traceback" not in out + err, words
    assert code == 0 or err.strip() or json.loads(out), words
    return code, out, err


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_parameter_of_every_command_takes_anything_and_answers_in_words(
    path: Path_, home: Household, capsys: pytest.CaptureFixture[str], record_property: Any
) -> None:
    """Wrong types, no text, control characters, names of no file; with --json as well where there is that."""
    command, tried = COMMANDS[path], 0
    has_json = any(each.name == "as_json" for each in command.params)
    for parameter in values(command):
        for value in WRONG:
            if usable(path, parameter, value):
                continue
            words = invocation(path, parameter, value, str(home.config))
            for more in ([], ["--json"]) if has_json else ([],):
                code, _, err = said(capsys, [*words, *more])
                tried += 1
                fails = path[0] in STARTING or parameter.name == "config"
                assert code in (1, 2) if fails else True, (words, err)
    record_property("cases", max(tried, 1))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_what_no_command_knows_is_wrong_usage(
    path: Path_, capsys: pytest.CaptureFixture[str], record_property: Any
) -> None:
    """An unknown option, one without its value, a word too many, a word too few."""
    command = COMMANDS[path]
    needed = ["abcdef0123" for each in command.params if isinstance(each, click.Argument)]
    attempts = [
        [*path, *needed, "--no-such-option"],
        [*path, *needed, "-Z"],
        [*path, *needed, "one", "too", "many"],
        *([*path, *needed, option.opts[0]] for option in values(command) if isinstance(option, click.Option)),
        *([*path, *needed[:-1]] for _ in needed[:1]),
    ]
    for words in attempts:
        code, _, err = said(capsys, words)
        assert code == 2, words
        assert "Usage" in err or "Error" in err, words
    record_property("cases", len(attempts))


def test_what_is_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str], record_property: Any) -> None:
    """Of the whole and of each group, whether or not there is a configuration that may bring some."""
    groups = {path[:-1] for path in COMMANDS}
    for group in groups:
        for word in (each for each in WRONG if not each.startswith("-")):
            assert said(capsys, [*group, word])[0] == 2, (group, word)
    Path("config.toml").write_text("nonsense")
    assert said(capsys, ["nonsense"])[0] == 2
    record_property("cases", len(groups) * len(WRONG))


FILES = {
    "empty": b"",
    "binary": b"\xff\xfe\0",
    "nonsense": b"[[[",
    "huge": b"#" * 2_000_000,
    "odd": b"x = [1]",
}


def test_a_configuration_that_is_none_is_said_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record_property: Any
) -> None:
    """Missing, a folder, a device, of no text, too long: exit code 2 and the file's name."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    places = [*FILES, "missing", "missing/below", "plain/below", ".", "/dev/null", "/dev/zero"]
    takers = [(path, each) for path, each in COMMANDS.items() if any(p.name == "config" for p in each.params)]
    for path, command in takers:
        needed = ["abcdef0123" for each in command.params if isinstance(each, click.Argument)]
        for place in places:
            code, out, err = said(capsys, [*path, *needed, "--config", place])
            assert code == 2, (path, place)
            assert Path(place).name in out + err, (path, place)
    record_property("cases", len(takers) * len(places))


def test_bytes_that_are_no_text_are_printed_and_passed_on_by_the_real_command(
    home: Household, tmp_path: Path, record_property: Any
) -> None:
    """As arguments, and as the name of a file that is fine."""
    config = os.fsencode(tmp_path) + b"/caf\xe9.toml"
    Path(os.fsdecode(config)).write_text(home.config.read_text())
    attempts: list[tuple[list[bytes], int]] = [
        ([b"check", b"--config", config], 0),
        ([b"check", b"--config", b"\xff\xfe"], 2),
        ([b"sessions", b"list", b"--repository", b"\xff", b"--config", config], 2),
        ([b"caf\xe9"], 2),
    ]
    for words, code in attempts:
        command = [sys.executable, "-m", "bot", *words]
        env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8:strict"}
        done = subprocess.run(command, capture_output=True, timeout=60, env=env, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False), done.stderr
    record_property("cases", len(attempts))


def test_a_data_folder_with_too_long_a_path_is_named_at_the_start(
    home: Household, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No socket can be made in it, which the kernel says in words nobody understands."""
    deep = tmp_path / ("deep" * 25)
    config = tmp_path / "deep.toml"
    config.write_text(home.config.read_text().replace(str(home.bot_data), str(deep)))
    code, _, err = said(capsys, ["run", "--config", str(config)])
    assert code == 1
    assert "Choose a data folder with a shorter path" in err


def test_a_place_that_is_gone_is_said_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder one stands in was deleted meanwhile."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for command in ("demo", "playground"):
        code, _, err = said(capsys, [command, "--data", "here"])
        assert code == 1
        assert "No such file or directory" in err

"""The scripted agent as people meet it: its own process, the real ACP client, a real git repository."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from acp_process import Bench, Heard

from bot.acp.client import AgentClient, text_block
from bot.acp.turn import StopReason
from bot.domain import EventType
from plugins.agents.recipes import scripted_recipe

RECIPE = scripted_recipe()


class Desk:
    """A repository with an agent at work in it."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.repository = folder / "repository"
        self.home = folder / "home"
        self.client = bench.client(drain_seconds=20)

    def put(self, path: str, text: str | bytes) -> Path:
        file = self.repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def read(self, path: str) -> str:
        return (self.repository / path).read_text()

    def install(self) -> None:
        for path, content in RECIPE.files.items():
            file = self.home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    async def start(self, client: AgentClient, **options: str) -> None:
        env = {"HOME": str(self.home), "PATH": os.environ["PATH"], **RECIPE.env}
        process = await self.bench.process(RECIPE.command, env)
        await client.start(process, str(self.repository), **options)

    async def say(self, *texts: str) -> Heard:
        heard = Heard()
        reason = await self.client.prompt([text_block(text) for text in texts], heard)
        assert reason is StopReason.END_TURN
        return heard


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    bench = Bench(tmp_path)
    desk = Desk(bench, tmp_path)
    desk.repository.mkdir()
    subprocess.run(["git", "init", "-q", desk.repository], check=True)
    desk.put("README.md", "# Shop\n")
    desk.put("src/header.js", "// Welcome\nexport const title = 'Welcome';\n")
    desk.put("src/footer.js", "export const bye = 'Goodbye';\n")
    subprocess.run(["git", "-C", desk.repository, "add", "-A"], check=True)
    desk.install()
    await desk.start(desk.client)
    yield desk
    await bench.close()


def first_line(heard: Heard) -> str:
    return heard.text.splitlines()[0]


# -- the protocol --------------------------------------------------------------------------------


async def test_a_step_is_a_tool_call_with_kind_place_and_diff(desk):
    heard = await desk.say('replace "Welcome" with "Hello" in src/header.js')
    assert desk.read("src/header.js") == "// Hello\nexport const title = 'Hello';\n"
    (tool,) = heard.tools().values()
    assert tool["title"] == 'Replace "Welcome" with "Hello" in src/header.js'
    assert (tool["kind"], tool["status"], tool["locations"]) == ("edit", "completed", ["src/header.js"])
    (diff,) = tool["diffs"]
    assert (diff["path"], diff["added"], diff["deleted"]) == ("src/header.js", 2, 2)
    assert "+// Hello" in diff["excerpt"].splitlines()
    assert heard.of(EventType.PLAN_UPDATED) == []


async def test_the_last_words_begin_with_a_title_and_say_that_it_is_no_model(desk):
    heard = await desk.say('replace "Welcome" with "Hello" in src/header.js')
    assert first_line(heard) == 'Replace "Welcome" with "Hello" in src/header.js'
    assert "src/header.js: 2 places" in heard.text
    assert "not a model" in heard.text
    assert heard.drafts[-1].type is EventType.AGENT_TEXT


async def test_several_steps_are_a_plan_that_is_worked_off(desk):
    heard = await desk.say('append "bye" to README.md then run true')
    plans = [
        [entry["status"] for entry in draft.data["entries"]] for draft in heard.of(EventType.PLAN_UPDATED)
    ]
    assert plans == [["in_progress", "pending"], ["completed", "in_progress"], ["completed", "completed"]]
    assert first_line(heard) == 'Append "bye" to README.md'


async def test_only_the_last_block_is_the_request(desk):
    heard = await desk.say("delete README.md", "Ada wrote before: delete src", 'append "x" to README.md')
    assert desk.read("README.md") == "# Shop\nx\n"
    assert list(heard.tools()) == ['Append "x" to README.md']


async def test_what_it_does_not_understand_changes_nothing_and_says_what_it_does(desk):
    heard = await desk.say("delete README.md then make the header prettier")
    assert "did not understand: make the header prettier" in heard.text
    assert "not a model" in heard.text
    assert "append" in heard.text
    assert (desk.repository / "README.md").exists()
    assert heard.tools() == {}


async def test_a_session_is_taken_up_again_by_a_new_process(desk):
    session = desk.client.session_id
    await desk.client.close()
    assert desk.bench.processes[0].returncode == 0
    desk.client = desk.bench.client()
    await desk.start(desk.client, session_id=session)
    assert (desk.client.resumed, desk.client.session_id) == (True, session)
    await desk.say('append "x" to README.md')
    assert desk.read("README.md") == "# Shop\nx\n"


async def test_its_sources_are_python_3_9_and_import_nothing_but_the_standard_library():
    for path, content in RECIPE.files.items():
        tree = ast.parse(content, path, feature_version=(3, 9))
        absolute = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
        names = {node.module for node in absolute} | {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not [
            name for name in names if name and name.split(".")[0] in ("bot", "plugins", "storage", "acp")
        ]


# -- commands and stopping -----------------------------------------------------------------------


async def test_a_command_runs_in_the_repository_and_its_output_is_shown(desk):
    heard = await desk.say("run `pwd; ls; echo oops >&2`")
    (tool,) = heard.tools().values()
    assert (tool["kind"], tool["command"], tool["status"]) == (
        "execute",
        "pwd; ls; echo oops >&2",
        "completed",
    )
    assert tool["output"] == f"{desk.repository}\nREADME.md\nsrc\noops"
    assert "ran well" in heard.text
    assert first_line(heard) == "Run pwd; ls; echo oops >&2"


async def test_a_failing_command_is_a_failed_tool_and_told_at_the_end(desk):
    heard = await desk.say('append "x" to README.md then run `echo 3 tests broken; exit 2`')
    tool = heard.tools()["Run echo 3 tests broken; exit 2"]
    assert (tool["status"], tool["output"]) == ("failed", "3 tests broken\n[exit code 2]")
    assert first_line(heard) == 'Append "x" to README.md (stopped at step 2 of 2)'
    assert "exit code 2" in heard.text
    assert "3 tests broken" in heard.text


async def test_output_streams_while_a_command_runs(desk):
    heard = Heard()
    request = [text_block("run `echo early; while [ ! -e go ]; do sleep 0.05; done; echo late`")]
    turn = asyncio.create_task(desk.client.prompt(request, heard))
    await output(heard, "early")
    desk.put("go", "")
    await turn
    assert heard.of(EventType.TOOL_FINISHED)[0].data["output"] == "early\nlate"


async def test_what_a_command_leaves_in_the_background_does_not_hold_the_turn(desk):
    await desk.say("run `sleep 60 & echo $! > pid`")
    await gone(int(desk.read("pid")))


async def output(heard: Heard, text: str) -> None:
    """Wait until a command has printed just this."""
    async with asyncio.timeout(20):
        while not any(draft.data.get("output") == text for draft in heard.drafts):
            heard.something.clear()
            await heard.something.wait()


async def gone(pid: int) -> None:
    """Wait until a process has ended; a zombie waits for its parent and counts."""
    async with asyncio.timeout(20):
        while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(
            "latin-1"
        ):
            await asyncio.sleep(0.02)


async def begun(desk: Desk, words: str) -> tuple[asyncio.Task[StopReason], Heard]:
    heard = Heard()
    turn = asyncio.create_task(desk.client.prompt([text_block(words)], heard))
    await asyncio.wait_for(heard.something.wait(), 20)
    return turn, heard


async def test_a_wait_is_stopped_at_once_and_the_rest_is_not_begun(desk):
    turn, heard = await begun(desk, "wait 60 seconds then delete README.md")
    assert await desk.client.cancel() is True
    assert await turn is StopReason.CANCELLED
    assert (desk.repository / "README.md").exists()
    assert heard.tools()["Wait 60 seconds"]["status"] == "failed"
    assert first_line(await desk.say('append "x" to README.md')) == 'Append "x" to README.md'


async def test_a_stopped_command_ends_with_all_it_started(desk):
    turn, heard = await begun(desk, "run `sleep 60 & echo $! > pid; echo up; wait`")
    await output(heard, "up")
    assert await desk.client.cancel() is True
    assert await turn is StopReason.CANCELLED
    await gone(int(desk.read("pid")))


async def test_a_command_that_ignores_to_be_ended_is_killed(desk):
    turn, heard = await begun(desk, "run `trap '' TERM; echo up; while :; do sleep 0.05; done`")
    await output(heard, "up")
    assert await desk.client.cancel() is True
    assert await turn is StopReason.CANCELLED


async def test_closing_its_input_ends_it_and_what_it_runs(desk):
    turn, _ = await begun(desk, "run `echo $$ > pid; exec sleep 60`")
    async with asyncio.timeout(20):
        while not (desk.repository / "pid").exists() or not desk.read("pid"):
            await asyncio.sleep(0.02)
    await desk.client.close()
    assert desk.bench.processes[0].returncode == 0
    assert await turn is StopReason.CANCELLED
    await gone(int(desk.read("pid")))

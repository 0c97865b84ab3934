"""How local sandboxes begin and end: failed starts, dead bots, what they leave, what the plugin offers."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sandbox_kit import LIMITS, a_provider, all_ended, sh, wait_for_pidfds

from bot import (
    Lease,
    LeaseRequest,
    PluginContext,
    Provider,
    Repository,
    SandboxError,
    SandboxSpec,
    SessionId,
    SnapshotId,
)
from plugins.sandbox_runner import Plugin, layout
from plugins.sandbox_runner.launch import REFUSED_NAMESPACE, REFUSED_OVERLAY
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.settings import Settings
from plugins.sandbox_runner.starting import OverlayRefused, failure

ROOT = Path(__file__).parent.parent
BOT = """
import asyncio, sys
from pathlib import Path
from bot import SandboxSpec
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.settings import Settings

async def main():
    provider = LocalProvider(Path(sys.argv[1]), Settings.model_validate({}))
    for _ in range(2):
        sandbox = await provider.create(SandboxSpec())
        nap = f"sleep {sys.argv[2]}"
        script = f"trap '' HUP TERM; (setsid {nap} >/dev/null 2>&1 &); {nap} & echo up; wait"
        process = await sandbox.exec(["/bin/sh", "-c", script])
        await anext(process.stdout())
    print("up", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def leftovers(data: Path) -> list[str]:
    """Folders, groups and users that still belong to sandboxes of this data folder."""
    found = [str(path) for path in (data / "sandboxes").iterdir()]
    hierarchy = LocalProvider(data, Settings.model_validate({}))._hierarchy
    found += [] if hierarchy is None else sorted(hierarchy.groups())
    if hierarchy is not None:
        hierarchy.remove()
    return found


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[LocalProvider]:
    async with a_provider(tmp_path / "data") as provider:
        yield provider


# -- a bot that dies -------------------------------------------------------------------------------


@pytest.fixture
def dead_bots_data(tmp_path: Path) -> Path:
    """What a bot with two busy sandboxes leaves when it is killed; nothing of them may run any more."""
    mark = f"8{secrets.randbelow(10**9):09d}"
    command = [sys.executable, "-c", BOT, str(tmp_path / "data"), mark]
    env = {**os.environ, "PYTHONPATH": ":".join(path for path in [*sys.path, str(ROOT)] if path)}
    bot = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=env)
    try:
        assert bot.stdout is not None
        assert bot.stdout.readline() == b"up\n"
        inside = wait_for_pidfds(f"sleep\0{mark}", count=4)
    finally:
        bot.kill()
        bot.communicate()
    assert all_ended(inside)
    return tmp_path / "data"


@pytest.mark.proof("recovery")
async def test_sandboxes_die_with_the_bot_and_the_next_one_tidies_up(dead_bots_data: Path) -> None:
    assert len(list((dead_bots_data / "sandboxes").iterdir())) == 2
    async with a_provider(dead_bots_data) as provider:
        sweeping = provider.sweep()
        mine = await provider.create(SandboxSpec(LIMITS))
        await sweeping
        assert await sh(mine, "echo untouched") == "untouched\n"
        assert [path.name for path in (dead_bots_data / "sandboxes").iterdir()] == [mine.id]
    assert leftovers(dead_bots_data) == []


async def test_a_sweep_takes_half_made_snapshots_and_keeps_whole_ones(
    provider: LocalProvider, tmp_path: Path
) -> None:
    sandbox = await provider.create(SandboxSpec(LIMITS))
    snapshot = await sandbox.snapshot()
    folder = tmp_path / "data" / "snapshots"
    (folder / "0123.partial").write_text("half")
    await provider.sweep()
    assert [path.name for path in folder.iterdir()] == [f"{snapshot}.tar"]


# -- a start that fails ----------------------------------------------------------------------------


async def test_a_failed_start_leaves_nothing_behind(
    provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider.ping()
    monkeypatch.setattr(layout, "WORKSPACE", "/proc/nowhere")
    with pytest.raises(SandboxError, match="could not be started: bwrap"):
        await provider.create(SandboxSpec(LIMITS))
    assert leftovers(tmp_path / "data") == []
    assert await provider.list() == []


async def test_a_start_that_is_given_up_leaves_nothing_behind(
    provider: LocalProvider, tmp_path: Path
) -> None:
    await provider.ping()
    for _ in range(10):
        creating = asyncio.create_task(provider.create(SandboxSpec(LIMITS)))
        async with asyncio.timeout(20):
            while not list((tmp_path / "data" / "sandboxes").iterdir()):
                await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert leftovers(tmp_path / "data") == []


async def test_without_bubblewrap_the_line_to_type_is_said(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "BWRAP", "/usr/bin/no-such-bwrap")
    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        await provider.ping()


def test_a_refused_namespace_is_explained_for_ubuntu_and_docker() -> None:
    text = str(failure(REFUSED_NAMESPACE, "user namespace: Operation not permitted"))
    assert "apparmor_restrict_unprivileged_userns" in text
    assert "seccomp=unconfined" in text


def test_a_refused_overlay_is_told_apart(tmp_path: Path) -> None:
    ops = [
        "bind",
        "/proc",
        "/proc",
        "bind",
        str(tmp_path),
        "/tree",
        "overlay",
        "/nowhere",
        "/tree",
        "/tree",
        "/merged",
    ]
    user = 64999 if os.geteuid() == 0 else None
    done = subprocess.run(layout.launch(user, ops, ["/bin/true"]), capture_output=True, check=False)
    assert done.returncode == REFUSED_OVERLAY
    assert isinstance(failure(done.returncode, done.stderr.decode()), OverlayRefused)


def test_a_shared_folder_never_holds_a_home_or_the_bots_data(tmp_path: Path) -> None:
    data = tmp_path / "bot" / "data"
    data.mkdir(parents=True)
    toolchain = tmp_path / "toolchain"
    toolchain.mkdir()
    read_only = [
        str(toolchain),
        str(tmp_path),
        str(data),
        str(tmp_path / "bot"),
        str(Path.home()),
        "/",
        "/nowhere",
    ]
    folders = layout.base(data, read_only).folders
    assert str(toolchain) in folders
    assert not {str(tmp_path), str(data), str(tmp_path / "bot"), str(Path.home()), "/", "/nowhere"} & set(
        folders
    )


async def test_a_configured_folder_can_be_read_and_not_written(tmp_path: Path) -> None:
    toolchain = tmp_path / "toolchain"
    toolchain.mkdir()
    (toolchain / "tool").write_text("a tool\n")
    async with a_provider(tmp_path / "data", read_only=[str(toolchain)]) as provider:
        sandbox = await provider.create(SandboxSpec(LIMITS))
        said = await sh(sandbox, f"cat {toolchain}/tool; echo x > {toolchain}/tool")
    assert "a tool" in said
    assert "Read-only" in said or "denied" in said


# -- an ordinary user ------------------------------------------------------------------------------


NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
AGAIN = "attacks or escapes and not user_of_its_own or die_with"
AGAIN += " or watchers or open_files or cannot_read or hidden"
AGAIN += " or TestOverlay and (brings or ends_with or gone or pass or gateway or folder_it or cut)"
AGAIN += " or one_listener or snapshot_holds or outlives or thousand"
AGAIN_FILES = [
    f"tests/test_sandbox_{name}.py"
    for name in ("attacks", "bounds", "contract", "escapes", "floods", "life", "way_out")
]
USABLE = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import pytest_asyncio, bot'], check=True)"
)


def as_nobody(argv: list[str]) -> subprocess.CompletedProcess[str]:
    libraries = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": ":".join(libraries)}
    return subprocess.run([*NOBODY, *argv], env=env, cwd=ROOT, capture_output=True, text=True, check=False)


def python_of_nobody() -> str:
    own = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, own) if shutil.which("setpriv") else ():
        if Path(python).exists() and as_nobody([python, "-c", USABLE]).returncode == 0:
            return python
    pytest.skip("there is no Python of this version that an ordinary user may run")


@pytest.mark.skipif(os.geteuid() != 0, reason="this run is an ordinary user's already")
@pytest.mark.proof("inside")
def test_everything_works_as_an_ordinary_user(record_property: Callable[[str, object], None]) -> None:
    """The attacks and some of the contract once more, by someone without any rights."""
    python = python_of_nobody()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        mine = Path(folder, "mine")
        mine.mkdir()
        os.chown(mine, 65534, 65534)
        command = [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--basetemp={mine}/t",
            "-o",
            "junit_family=xunit1",
            f"--junitxml={mine}/report.xml",
            "-k",
            AGAIN,
        ]
        done = as_nobody([*command, *AGAIN_FILES])
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        for test in ElementTree.parse(mine / "report.xml").iter("testcase"):
            cases = test.find("properties/property[@name='cases']")
            record_property("cases", 1 if cases is None else int(cases.get("value", 0)))


# -- the plugin ------------------------------------------------------------------------------------


class Rooms:
    """The doors the core opens to the plugin."""

    def __init__(self) -> None:
        self.providers: list[Provider] = []
        self.services: dict[str, dict[str, object]] = {}

    def add(self, *what: object, **parts: object) -> None:
        if parts:
            self.services[str(what[0])] = parts
        else:
            self.providers.append(what[0])  # type: ignore[arg-type]  # and beside it what it is bounded by


@pytest.fixture
async def plugin(tmp_path: Path) -> AsyncIterator[Plugin]:
    plugin = Plugin()
    settings = plugin.config_schema().model_validate({"memory_mib": 512, "processes": 64})
    plugin.setup(PluginContext(settings, (), tmp_path / "data", 1))
    rooms = Rooms()
    plugin.register_providers(rooms)
    plugin.register_services(rooms)
    service = rooms.services["sandbox_runner"]
    assert [provider.name for provider in rooms.providers] == ["local"]
    await service["start"]()  # type: ignore[operator]
    await service["ping"]()  # type: ignore[operator]
    yield plugin
    await service["stop"]()  # type: ignore[operator]
    assert await rooms.providers[0].list() == []


async def lease(plugin: Plugin, snapshot: SnapshotId | None = None) -> tuple[Lease, list[str]]:
    said: list[str] = []

    async def progress(line: str) -> None:
        said.append(line)

    request = LeaseRequest(SessionId("s1"), Repository("acme/web"), 1, snapshot, progress)
    return await plugin.lease_sandbox(request), said


async def test_a_lease_is_a_cold_start_that_says_so(plugin: Plugin) -> None:
    held, said = await lease(plugin)
    assert said == ["Starting a sandbox…"]
    assert (held.cold, held.restored) == (True, False)
    assert await sh(held.sandbox, "pwd") == "/workspace\n"
    await held.release()
    assert not await held.sandbox.alive()


async def test_a_session_finds_its_work_again(plugin: Plugin) -> None:
    first, _ = await lease(plugin)
    await sh(first.sandbox, "echo mine > work")
    snapshot = await first.sandbox.snapshot()
    await first.release()
    second, _ = await lease(plugin, snapshot)
    assert second.restored
    assert await sh(second.sandbox, "cat work") == "mine\n"


@pytest.mark.parametrize("how", ["discarded", "damaged"])
async def test_a_snapshot_that_cannot_be_used_gives_a_fresh_sandbox_and_says_so(
    plugin: Plugin, tmp_path: Path, how: str
) -> None:
    first, _ = await lease(plugin)
    await sh(first.sandbox, "echo mine > work")
    snapshot = await first.sandbox.snapshot()
    file = tmp_path / "data" / "snapshots" / f"{snapshot}.tar"
    if how == "discarded":
        file.unlink()
    else:
        file.write_bytes(b"no tar at all" * 1000)
    second, _ = await lease(plugin, snapshot)
    assert not second.restored
    assert await sh(second.sandbox, "ls") == ""


def test_the_settings_start_from_the_seed() -> None:
    limits = Settings.model_validate({}).limits
    assert json.dumps([limits.memory_mib, limits.cores, limits.disk_mib, limits.wall_seconds]) == (
        "[4096, 2.0, 10240, 14400]"
    )

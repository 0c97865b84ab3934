"""The rules of the house, read from the source itself; and each rule is shown something that breaks it."""

from __future__ import annotations

import ast
import inspect
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

import bot
from bot.hooks import Specs

ROOT = Path(__file__).parent.parent
PRODUCT = ("bot", "plugins", "storage")
LONGEST = 400

# Where host programs are started; everything in the last three runs inside a sandbox or makes one.
PROGRAMS = (
    "bot/git/",
    "bot/cli.py",
    "bot/demo.py",
    "bot/playground/github/",
    "plugins/sandbox_runner/",
    "plugins/agents/install.py",
    "plugins/agents/scripted/",
)
# What runs inside a sandbox, where nothing of ours is installed.
ALONE = (
    "bot/sessions/mcp_stdio.py",
    "plugins/agents/scripted/",
    "plugins/sandbox_runner/launch.py",
    "plugins/sandbox_runner/supervisor.py",
)
# A foreign library -> the only place that knows it.
HOMES = {
    "slack_bolt": "bot/slack/",
    "openai": "bot/gateway/",
    "modal": "plugins/sandbox_runner/",
    "github": "plugins/pr_creator/",
}
# Where anything may be caught, because somebody is waiting for an answer.
CATCHERS = (
    "bot/plugins.py",
    "bot/cli.py",
    "bot/admin.py",
    "bot/doctor.py",
    "bot/slack/",
    "bot/web/",
    "bot/playground/",
)
BAD_NAMES = {"logging.py", "types.py", "http.py", "queue.py"}


@dataclass(frozen=True)
class Module:
    """One Python file. `path` is relative to the root."""

    path: str
    source: str

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.source)))

    @cached_property
    def lines(self) -> list[str]:
        return self.source.splitlines()

    @property
    def package(self) -> list[str]:
        return self.path.split("/")[:-1]

    def imports(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        """(line, module, names): every import anywhere in it, relative ones made absolute."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name, ()) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = self.package[: len(self.package) - node.level + 1] if node.level else []
                module = ".".join([*above, *([node.module] if node.module else [])])
                yield node.lineno, module, tuple(alias.name for alias in node.names)

    def calls(self) -> Iterator[tuple[int, str]]:
        """(line, dotted name) of every name reached through a dot, and of what is imported by name."""
        for node in self.nodes:
            if isinstance(node, ast.Attribute):
                yield node.lineno, ast.unparse(node)
        for line, module, names in self.imports():
            yield from ((line, f"{module}.{name}") for name in names)


def reaches(module: str, names: tuple[str, ...], wanted: str) -> bool:
    """Does an import of `names` from `module` reach `wanted` or something in it?"""
    full = [module, *(f"{module}.{name}" for name in names)]
    return any(each == wanted or each.startswith(wanted + ".") for each in full)


# -- the rules: each yields what is wrong in one module ----------------------------------------------


def storage_is_a_leaf(module: Module) -> Iterator[str]:
    """`storage` imports none of ours but itself."""
    if module.path.startswith("storage/"):
        for line, name, names in module.imports():
            if any(reaches(name, names, ours) for ours in ("bot", "plugins", "tests")):
                yield f"{line}: storage imports {name}"


def plugins_are_strangers(module: Module) -> Iterator[str]:
    """A plugin imports from `bot` what `bot.__all__` offers, `storage`, and itself."""
    if not module.path.startswith("plugins/") or len(module.package) < 2:
        return
    own = f"plugins.{module.package[1]}"
    for line, name, names in module.imports():
        if name.split(".")[0] == "bot" and (name != "bot" or not names):
            yield f"{line}: a plugin imports {name}; only `from bot import …` is public"
        if name == "bot":
            yield from (f"{line}: bot.{each} is not public" for each in names if each not in bot.__all__)
        if name.split(".")[0] == "plugins" and not reaches(name, (), own):
            yield f"{line}: a plugin imports another: {name}"


def core_knows_no_plugin(module: Module) -> Iterator[str]:
    """The core finds plugins by a list of names."""
    if module.path.startswith("bot/"):
        for line, name, names in module.imports():
            if reaches(name, names, "plugins"):
                yield f"{line}: the core imports {name}"


def playground_is_apart(module: Module) -> Iterator[str]:
    """The core does not know that there is a playground, nor the playground that there is a core."""
    inside = module.path.startswith("bot/playground/")
    for line, name, names in module.imports():
        playground = reaches(name, names, "bot.playground") and name != "bot"
        playground = playground or (name == "bot" and names == ("playground",))
        allowed = module.path == "bot/cli.py" or module.path.startswith("bot/testing/")
        if playground and not inside and not allowed:
            yield f"{line}: only bot/cli.py and bot/testing import the playground"
        if inside and name.split(".")[0] in ("bot", "plugins") and not playground:
            yield f"{line}: the playground imports {name}"


def sessions_know_no_edge(module: Module) -> Iterator[str]:
    """Sessions write events and outbox rows; edges read them."""
    if module.path.startswith("bot/sessions/"):
        for line, name, names in module.imports():
            if any(reaches(name, names, edge) for edge in ("bot.slack", "bot.web", "bot.app", "bot.cli")):
                yield f"{line}: a session imports {name}"


def foreign_libraries_have_one_home(module: Module) -> Iterator[str]:
    for line, name, _ in module.imports():
        home = HOMES.get(name.split(".")[0])
        if home is not None and not module.path.startswith(home):
            yield f"{line}: {name} belongs into {home}"


def sandboxed_code_stands_alone(module: Module) -> Iterator[str]:
    """What is copied into a sandbox has the standard library and its neighbours."""
    if module.path.startswith(ALONE):
        own = ".".join(module.package)
        for line, name, _ in module.imports():
            if name.split(".")[0] not in sys.stdlib_module_names and not reaches(name, (), own):
                yield f"{line}: {name} is not there inside a sandbox"


def no_import_from_above(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom) and node.level > 1:
            yield f"{node.lineno}: a relative import from a parent"


def environment_is_read_in_one_place(module: Module) -> Iterator[str]:
    names = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"}
    if module.path != "bot/config.py":
        yield from (
            f"{line}: {name} outside of bot/config.py" for line, name in module.calls() if name in names
        )


def no_shell_on_the_host(module: Module) -> Iterator[str]:
    shells = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
    shells |= {"asyncio.create_subprocess_shell", "asyncio.subprocess.create_subprocess_shell"}
    for line, name in module.calls():
        if name in shells or name.endswith(".subprocess_shell"):
            yield f"{line}: {name} goes through a shell"
    for node in module.nodes:
        if isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) != "False":
            yield f"{node.value.lineno}: shell="


def programs_start_in_few_places(module: Module) -> Iterator[str]:
    starting = re.compile(
        r"subprocess\..*|asyncio\.(subprocess\.)?create_subprocess_exec|.*\.subprocess_exec"
        r"|os\.(exec|spawn|posix_spawn|fork).*|pty\.(fork|spawn)|multiprocessing\..*"
    )
    if not module.path.startswith(PROGRAMS):
        for line, name in module.calls():
            if starting.fullmatch(name):
                yield f"{line}: {name} outside of {', '.join(PROGRAMS)}"


def modules_are_short(module: Module) -> Iterator[str]:
    reason = any(re.match(r"# long because: .{10,}", line) for line in module.lines[:40])
    if len(module.lines) > LONGEST and not reason:
        yield f"{len(module.lines)} lines; split it, or say `# long because: …` at its top"


def no_module_hides_a_standard_one(module: Module) -> Iterator[str]:
    name = module.path.rpartition("/")[2]
    if name in BAD_NAMES:
        yield f"{name} would be mistaken for the standard library's"


def exceptions_from_checks_have_a_reason(module: Module) -> Iterator[str]:
    """An exception from lint or types names what it is about and has its reason beside it."""
    fit = r"(?:\[[\w, -]+\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)\s*(?:-|#)\s*\S.{5,}"
    for number, line in enumerate(module.lines, 1):
        if re.search(r"#\s*ruff:\s*noqa", line):
            if number == 1 or not module.lines[number - 2].startswith("#"):
                yield f"{number}: a file-wide noqa without a reason above it"
            continue
        found = re.search(r"#\s*(?:noqa|type:\s*ignore)(.*)", line)
        if found and not re.match(fit, found[1]):
            yield f"{number}: an exception without a code and a reason: {line.strip()}"


def nothing_is_left_to_do(module: Module) -> Iterator[str]:
    for number, line in enumerate(module.lines, 1):
        if re.search(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b", line):
            yield f"{number}: {line.strip()}"
    stubs = (
        "NotImplementedError",
        "NotImplementedError()",
    )  # with a text it tells whoever derives what to do
    for node in module.nodes:
        if isinstance(node, ast.Raise) and node.exc is not None and ast.unparse(node.exc) in stubs:
            yield f"{node.lineno}: a stub"


def import_path_is_left_alone(module: Module) -> Iterator[str]:
    for line, name in module.calls():
        if name == "sys.path" or name.startswith("sys.path."):
            yield f"{line}: {name}"


def broad_handlers_have_a_reason(module: Module) -> Iterator[str]:
    """All may be caught at the edges, or to tidy up and raise it again; elsewhere a comment says why."""
    for node in module.nodes:
        if not isinstance(node, ast.ExceptHandler) or module.path.startswith(CATCHERS):
            continue
        caught = {"BaseException"} if node.type is None else set(re.findall(r"\w+", ast.unparse(node.type)))
        raised = any(isinstance(each, ast.Raise) and each.exc is None for each in ast.walk(node))
        if (
            caught & {"Exception", "BaseException"}
            and not raised
            and "#" not in module.lines[node.lineno - 1]
        ):
            yield f"{node.lineno}: a broad except without a reason beside it"


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    storage_is_a_leaf,
    plugins_are_strangers,
    core_knows_no_plugin,
    playground_is_apart,
    sessions_know_no_edge,
    foreign_libraries_have_one_home,
    sandboxed_code_stands_alone,
    no_import_from_above,
    environment_is_read_in_one_place,
    no_shell_on_the_host,
    programs_start_in_few_places,
    modules_are_short,
    no_module_hides_a_standard_one,
    exceptions_from_checks_have_a_reason,
    nothing_is_left_to_do,
    import_path_is_left_alone,
    broad_handlers_have_a_reason,
)


# -- our own source ----------------------------------------------------------------------------------


@cache
def product() -> list[Module]:
    """Every module that ships; the sample repositories of the playground are data."""
    paths = sorted(path for top in PRODUCT for path in (ROOT / top).rglob("*.py"))
    relative = [path.relative_to(ROOT).as_posix() for path in paths]
    kept = [path for path in relative if not path.startswith("bot/playground/samples/")]
    return [Module(path, (ROOT / path).read_text()) for path in kept]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule):
    broken = [f"{module.path}:{what}" for module in product() for what in rule(module)]
    assert not broken, "\n" + "\n".join(broken)


def test_there_is_a_house_to_look_at():
    assert {module.package[0] for module in product()} == set(PRODUCT)
    assert len(product()) > 50


# Per rule: a place, what breaks the rule there, and what looks like it and does not.
SAMPLES: list[tuple[Callable[[Module], Iterator[str]], str, str, str]] = [
    (storage_is_a_leaf, "storage/x.py", "from bot.domain import Prompt", "from storage import Secret"),
    (storage_is_a_leaf, "storage/x.py", "def f():\n    import plugins", "import botany"),
    (plugins_are_strangers, "plugins/a/x.py", "from bot.domain import Prompt", "from bot import Prompt"),
    (plugins_are_strangers, "plugins/a/x.py", "from bot import sessions", "from bot import hookimpl"),
    (plugins_are_strangers, "plugins/a/x.py", "import bot", "import storage"),
    (plugins_are_strangers, "plugins/a/x.py", "import plugins.b", "from plugins.a import y"),
    (plugins_are_strangers, "plugins/a/x.py", "from plugins import b", "from plugins.a.z import y"),
    (plugins_are_strangers, "plugins/a/x.py", "from ..b import y", "from . import y"),
    (
        core_knows_no_plugin,
        "bot/app.py",
        "from plugins.agents import Plugin",
        "from bot.plugins import Plugins",
    ),
    (playground_is_apart, "bot/app.py", "from bot.playground import people", "from bot import hookimpl"),
    (playground_is_apart, "bot/app.py", "from bot import playground", "import bot.play"),
    (
        playground_is_apart,
        "bot/playground/x.py",
        "from bot.domain import Prompt",
        "from storage import Secret",
    ),
    (
        playground_is_apart,
        "bot/playground/x.py",
        "from bot import Prompt",
        "from bot.playground import people",
    ),
    (
        sessions_know_no_edge,
        "bot/sessions/x.py",
        "from bot.slack import edge",
        "from bot.sessions import states",
    ),
    (sessions_know_no_edge, "bot/sessions/x.py", "from bot import web", "from bot.domain import Prompt"),
    (foreign_libraries_have_one_home, "bot/web/x.py", "import slack_bolt.async_app", "import slack_sdk"),
    (
        foreign_libraries_have_one_home,
        "bot/app.py",
        "from github import Github",
        "from bot.playground import github",
    ),
    (sandboxed_code_stands_alone, "plugins/agents/scripted/x.py", "import aiohttp", "from . import steps"),
    (sandboxed_code_stands_alone, "plugins/sandbox_runner/launch.py", "from bot import Limits", "import os"),
    (no_import_from_above, "bot/web/x.py", "from ..domain import Prompt", "from .pages import x"),
    (environment_is_read_in_one_place, "bot/app.py", "import os\nos.environ['X']", "import os\nos.getpid()"),
    (environment_is_read_in_one_place, "bot/app.py", "from os import getenv", "x.environ"),
    (no_shell_on_the_host, "bot/git/x.py", "run(x, shell=True)", "run(x, shell=False)"),
    (no_shell_on_the_host, "bot/git/x.py", "import os\nos.system('x')", "platform.system()"),
    (no_shell_on_the_host, "bot/git/x.py", "from asyncio import create_subprocess_shell", "shell = True"),
    (programs_start_in_few_places, "bot/app.py", "import subprocess\nsubprocess.run([])", "x.run([])"),
    (programs_start_in_few_places, "bot/app.py", "from subprocess import run", "from x import run"),
    (programs_start_in_few_places, "bot/app.py", "asyncio.create_subprocess_exec('x')", "asyncio.sleep(0)"),
    (programs_start_in_few_places, "plugins/pr_creator/x.py", "os.execv('x', [])", "os.fspath('x')"),
    (
        modules_are_short,
        "bot/x.py",
        "x = 1\n" * 401,
        "# long because: a table of all states\n" + "x = 1\n" * 401,
    ),
    (modules_are_short, "bot/x.py", "# long because:\n" + "x = 1\n" * 401, "x = 1\n" * 400),
    (no_module_hides_a_standard_one, "bot/web/http.py", "", ""),
    (
        exceptions_from_checks_have_a_reason,
        "bot/x.py",
        "x  # type: ignore",
        "x  # type: ignore[x]  # no types",
    ),
    (exceptions_from_checks_have_a_reason, "bot/x.py", "x  # noqa: S608", "x  # noqa: S608 - a constant"),
    (exceptions_from_checks_have_a_reason, "bot/x.py", "\n# ruff: noqa: S608", "# why\n# ruff: noqa: S608"),
    (nothing_is_left_to_do, "bot/x.py", "x = 1  # TODO: later", "x = 'todo list'"),
    (nothing_is_left_to_do, "bot/x.py", "raise NotImplementedError", "raise ValueError"),
    (import_path_is_left_alone, "bot/x.py", "import sys\nsys.path.insert(0, 'x')", "os.path.join('x')"),
    (import_path_is_left_alone, "bot/x.py", "from sys import path", "from sys import argv"),
    (
        broad_handlers_have_a_reason,
        "bot/x.py",
        "try: x\nexcept Exception:\n  pass",
        "try: x\nexcept OSError: pass",
    ),
    (
        broad_handlers_have_a_reason,
        "bot/x.py",
        "try: x\nexcept:\n  pass",
        "try: x\nexcept BaseException: raise",
    ),
    (
        broad_handlers_have_a_reason,
        "bot/x.py",
        "try: x\nexcept (A, Exception):\n  pass",
        "try: x\nexcept A: pass",
    ),
]


@pytest.mark.parametrize(("rule", "path", "bad", "good"), SAMPLES)
def test_a_rule_sees_what_breaks_it_and_nothing_else(rule, path, bad, good):
    assert list(rule(Module(path, bad)))
    place = "bot/web/pages.py" if rule is no_module_hides_a_standard_one else path
    assert not list(rule(Module(place, good)))


def test_every_rule_has_been_shown_something_that_breaks_it():
    assert {rule for rule, *_ in SAMPLES} == set(RULES)


# -- what no single module shows ---------------------------------------------------------------------


def test_every_hook_is_explained():
    hooks = {name: value for name, value in vars(Specs).items() if not name.startswith("_")}
    assert hooks
    for name, hook in hooks.items():
        assert (hook.__doc__ or "").strip(), f"{name} has no docstring"
        assert "return" in inspect.get_annotations(hook), f"{name} says not what it returns"


def test_what_bot_offers_is_all_there_and_in_order():
    assert list(bot.__all__) == sorted(bot.__all__, key=lambda name: (not name.isupper(), name))
    assert all(getattr(bot, name) is not None for name in bot.__all__)
    with pytest.raises(AttributeError):
        _ = bot.no_such_name


def test_what_bot_offers_is_what_it_imports():
    module = next(each for each in product() if each.path == "bot/__init__.py")
    names = {
        name
        for _, source, names in module.imports()
        if source.startswith(("bot", "storage"))
        for name in names
    }
    assert names == set(bot.__all__)


def test_tests_lie_flat_so_that_none_hides_a_package():
    packages = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("__init__.py")]
    nested = [
        path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "tests"
    ]
    assert [path for path in packages + nested if path.parts[1] != "data"] == []


def test_functions_are_short():
    sizes = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for module in product()
        for node in module.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert statistics.median(sizes) <= 10
    assert sizes[len(sizes) * 9 // 10] <= 30


_MADE_BY_TOOLS = {"__pycache__", "node_modules", ".hypothesis", ".pytest_cache"}


def texts() -> Iterator[tuple[str, str]]:
    """Every text file that ships or is read by people, with its content."""
    loose = [
        path for path in ROOT.iterdir() if path.is_file() and path.suffix in (".md", ".toml", ".lock", ".txt")
    ]
    tree = [path for top in (*PRODUCT, "extension", "tests", ".ci") for path in (ROOT / top).rglob("*")]
    for path in [ROOT / "Makefile", *loose, *tree]:
        if path.is_file() and not _MADE_BY_TOOLS.intersection(path.parts):
            yield path.relative_to(ROOT).as_posix(), path.read_bytes().decode(errors="replace")


def test_no_file_names_the_machine_it_was_written_on():
    """Absolute folders of people's and of build machines mean nothing elsewhere."""
    private = re.compile(r"(?<![\w.~}$-])/(?:wor[k]|Users|home/(?!agent\b|user\b)[a-z]+|roo[t]/\.)/[\w.-]+")
    found = [f"{path}: {match[0]}" for path, text in texts() for match in private.finditer(text)]
    assert not found, "\n".join(found)


def test_the_lock_holds_versions_and_hashes_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|file:|--(?:extra-)?index-url|--find-links", lock)
    blocks = re.findall(r"^[A-Za-z0-9].*==.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", lock, re.MULTILINE)
    assert len(blocks) == len(re.findall(r"^[A-Za-z0-9].*==", lock, re.MULTILINE)) > 20

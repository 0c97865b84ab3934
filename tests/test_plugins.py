"""Plugins: each loaded alone, called with a time limit, and blamed by name."""

import asyncio
import logging
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import BaseModel

from bot import (
    Action,
    ConfigError,
    Mistake,
    Person,
    PluginError,
    PromptId,
    Repository,
    SandboxError,
    SessionId,
    Subject,
    UserError,
    hookimpl,
)
from bot import plugin_loading as loading
from bot.config_models import PluginSettings
from bot.domain import Event, EventType
from bot.hooks import Specs
from bot.plugin_loading import BUILT_IN
from bot.plugins import Answer, Plugins

ADA = Person("U1", "T1", "Ada")
WEB = Repository("acme/web")
EVENT = Event(SessionId("s"), 1, EventType.TURN_STARTED, 0.0, PromptId(1), None, {})
MAY = {"actor": ADA, "action": Action.START, "subject": Subject()}


class Facts:
    """Answers one hook with whatever a test says, or raises it."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    @hookimpl
    def repository_facts(self, repository: Repository) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class SlowFacts:
    """Waits until it is told to go on."""

    def __init__(self) -> None:
        self.entered, self.leave, self.cancelled = asyncio.Event(), asyncio.Event(), False

    @hookimpl
    async def repository_facts(self) -> str:
        self.entered.set()
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "slow"


def having(*plugins: object) -> Plugins:
    """A registry of just these, named a, b, c, … in the order of registration."""
    registry = Plugins(())
    for name, plugin in zip("abcdefg", plugins, strict=False):
        registry.register(plugin, name)
    return registry


@pytest.fixture
def folder(tmp_path):
    """A folder for dropped plugins; what they left in sys.modules goes away with it."""
    yield tmp_path
    for name in [each for each in sys.modules if each.startswith("threadsmith_plugin_")]:
        del sys.modules[name]


def dropped(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("from bot import hookimpl\n" + body)
    return path


def found_in(folder: Path, *disabled: str) -> Plugins:
    registry = Plugins(())
    registry.discover(PluginSettings(folder=folder, disabled=list(disabled)))
    return registry


PING = "@hookimpl\ndef repository_facts(repository): return 'from ' + __name__\n"


# -- calling -----------------------------------------------------------------------------------------


async def test_the_last_registered_is_asked_first():
    plugins = having(Facts("one"), Facts("two"))
    assert await plugins.call("repository_facts", repository=WEB) == [Answer("b", "two"), Answer("a", "one")]
    assert await plugins.first("repository_facts", repository=WEB) == "two"


async def test_first_and_last_wishes_are_honoured():
    class Early(Facts):
        @hookimpl(tryfirst=True)
        def repository_facts(self):
            return "early"

    class Late(Facts):
        @hookimpl(trylast=True)
        def repository_facts(self):
            return "late"

    plugins = having(Early(None), Facts("plain"), Late(None))
    answers = await plugins.call("repository_facts", repository=WEB)
    assert [each.value for each in answers] == ["early", "plain", "late"]


async def test_first_passes_none_on_but_not_what_is_merely_empty():
    assert await having(Facts("later"), Facts(None)).first("repository_facts", repository=WEB) == "later"
    assert await having(Facts("later"), Facts("")).first("repository_facts", repository=WEB) == ""
    assert await having(Facts(None)).first("repository_facts", repository=WEB) is None


async def test_a_hook_may_be_async_and_take_fewer_arguments():
    class Modest:
        @hookimpl
        async def may(self, actor):
            return actor is ADA

        @staticmethod
        @hookimpl
        def repository_facts(repository, extra="untouched"):
            return extra

    plugins = having(Modest())
    assert await plugins.call("may", **MAY) == [Answer("a", True)]
    assert await plugins.call("repository_facts", repository=WEB) == [Answer("a", "untouched")]


async def test_a_specname_says_which_hook_is_meant():
    class Renamed:
        @hookimpl(specname="repository_facts")
        def facts(self, repository):
            return repository.name

    assert await having(Renamed()).first("repository_facts", repository=WEB) == "acme/web"


@pytest.mark.parametrize("arguments", [{}, {"repository": WEB, "more": 1}, {"repo": WEB}])
async def test_a_call_with_the_wrong_arguments_is_our_own_mistake(arguments):
    with pytest.raises(TypeError, match="repository_facts"):
        await having().call("repository_facts", **arguments)


async def test_one_plugin_s_failure_is_not_another_s(caplog):
    plugins = having(Facts("fine"), Facts(RuntimeError("boom")))
    broken, fine = await plugins.call("repository_facts", repository=WEB)
    assert fine == Answer("a", "fine")
    assert isinstance(broken.error, PluginError)
    assert broken.error.incident in caplog.text
    assert "plugin b failed in repository_facts" in caplog.text
    assert "boom" in caplog.text
    assert "boom" not in str(broken.error)
    (failure,) = plugins.failures
    assert (failure.plugin, failure.hook, failure.kind) == ("b", "repository_facts", "RuntimeError")


@pytest.mark.parametrize("error", [SystemExit(3), ValueError(), asyncio.CancelledError(), TimeoutError()])
@pytest.mark.parametrize("limit", [None, 5.0])
async def test_whatever_a_plugin_raises_stays_with_it(error, limit):
    class Raising:
        @hookimpl
        async def repository_facts(self):
            raise error

    for plugin in (Raising(), Facts(error)):
        (answer,) = await having(plugin).call("repository_facts", limit=limit, repository=WEB)
        assert isinstance(answer.error, PluginError)


async def test_a_user_error_is_an_answer_and_no_failure():
    plugins = having(Facts("not asked"), Facts(SandboxError("no room")))
    answers = await plugins.call("repository_facts", repository=WEB)
    assert isinstance(answers[0].error, SandboxError)
    assert not plugins.failures
    with pytest.raises(SandboxError, match="no room"):
        await plugins.first("repository_facts", repository=WEB)


async def test_first_goes_on_past_a_broken_plugin():
    plugins = having(Facts("fine"), Facts(RuntimeError()))
    assert await plugins.first("repository_facts", repository=WEB) == "fine"


async def test_an_error_is_not_an_absence():
    plugins = having(Facts(None), Facts(RuntimeError("unreadable")))
    with pytest.raises(PluginError) as caught:
        await plugins.first("repository_facts", repository=WEB)
    assert caught.value.plugin == "b"
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_a_plugin_that_hangs_is_given_up_and_the_next_one_asked():
    slow = SlowFacts()
    plugins = having(Facts("quick"), slow)
    assert await plugins.first("repository_facts", limit=0.01, repository=WEB) == "quick"
    assert await plugins.close() == 0
    assert slow.cancelled
    assert [each.kind for each in plugins.failures] == ["TimeoutError"]


async def test_a_plugin_that_ignores_its_cancellation_is_left_behind():
    release = asyncio.Event()

    class Stubborn:
        @hookimpl
        async def repository_facts(self):
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            raise RuntimeError("much too late")

    plugins = having(Facts("quick"), Stubborn())
    assert await plugins.first("repository_facts", limit=0.01, repository=WEB) == "quick"
    release.set()
    assert await plugins.close() == 0
    assert len(plugins.failures) == 1


async def test_without_a_limit_a_plugin_has_all_the_time_it_wants():
    slow = SlowFacts()
    asking = asyncio.create_task(having(slow).first("repository_facts", limit=None, repository=WEB))
    await slow.entered.wait()
    slow.leave.set()
    assert await asking == "slow"


@pytest.mark.parametrize("limit", [None, 60.0])
@pytest.mark.parametrize("how", ["call", "first", "gather"])
async def test_our_own_cancellation_goes_through(how, limit):
    slow = SlowFacts()
    plugins = having(slow)
    asking = asyncio.create_task(getattr(plugins, how)("repository_facts", limit=limit, repository=WEB))
    await slow.entered.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await plugins.close()
    assert slow.cancelled
    assert not plugins.failures


async def test_gather_asks_all_at_once_and_keeps_their_order():
    first, second = SlowFacts(), SlowFacts()
    asking = asyncio.create_task(having(first, second).gather("repository_facts", repository=WEB))
    await first.entered.wait()
    await second.entered.wait()
    first.leave.set()
    second.leave.set()
    assert await asking == [Answer("b", "slow"), Answer("a", "slow")]


async def test_one_plugin_can_be_asked_alone():
    plugins = having(Facts("one"), Facts("two"))
    assert plugins.implementers("repository_facts") == ["b", "a"]
    assert await plugins.ask_one("a", "repository_facts", repository=WEB) == Answer("a", "one")
    with pytest.raises(LookupError):
        await plugins.ask_one("a", "session_event", session=SessionId("s"), event=EVENT)


def test_at_start_up_hooks_are_asked_without_a_loop():
    class Async:
        @hookimpl
        async def repository_facts(self):
            return "async"

    class Waiting:
        @hookimpl
        async def repository_facts(self):
            await asyncio.sleep(0)

    plugins = having(Facts("sync"), Async(), Waiting(), Facts(asyncio.CancelledError()))
    cancelled, waiting, *rest = plugins.call_sync("repository_facts", repository=WEB)
    assert isinstance(cancelled.error, PluginError)
    assert isinstance(waiting.error, PluginError)
    assert rest == [Answer("b", "async"), Answer("a", "sync")]


async def test_only_the_newest_failures_are_kept():
    plugins = having(Facts(RuntimeError()))
    for _ in range(150):
        await plugins.call("repository_facts", repository=WEB)
    assert len(plugins.failures) == 100


# -- misspelt ----------------------------------------------------------------------------------------


def test_a_misspelt_hook_is_a_start_up_error_that_names_the_right_one():
    class Misspelt:
        @hookimpl
        def chose_repository(self, question): ...

    plugins = having(Misspelt())
    with pytest.raises(ConfigError) as caught:
        plugins.check_pending()
    (mistake,) = caught.value.mistakes
    assert mistake.key == "a.chose_repository"
    assert "`choose_repository`" in mistake.fix
    assert plugins.names() == []


def test_an_argument_that_is_not_offered_is_a_start_up_error():
    class Greedy:
        @hookimpl
        def repository_facts(self, repository, weather): ...

    with pytest.raises(ConfigError, match="weather"):
        having(Greedy()).check_pending()


def test_a_hook_for_a_later_version_may_be_marked_optional():
    class Ahead(Facts):
        @hookimpl(optionalhook=True)
        def not_yet(self): ...

    plugins = having(Ahead(1))
    plugins.check_pending()
    assert plugins.names() == ["a"]


def test_wrappers_are_refused():
    class Wrapping:
        @hookimpl(wrapper=True)
        def repository_facts(self):
            return (yield)

    with pytest.raises(ConfigError, match="wrapper"):
        having(Wrapping()).check_pending()


def test_a_plugin_that_answers_nothing_says_so():
    class Unmarked:
        def repository_facts(self): ...

    assert "@hookimpl" in having(Unmarked()).broken[0].reason


# -- finding -----------------------------------------------------------------------------------------


async def test_a_file_dropped_into_the_folder_is_a_plugin(folder):
    dropped(folder, "ping.py", PING)
    before = list(sys.path)
    plugins = found_in(folder)
    assert await plugins.first("repository_facts", repository=WEB) == "from threadsmith_plugin_ping"
    assert sys.path == before
    assert plugins.describe()[0].where == str(folder / "ping.py")


async def test_a_package_may_be_dropped_too_with_modules_of_its_own(folder):
    dropped(folder, "pack/__init__.py", "from .words import WORD\nclass Plugin:\n    @hookimpl\n")
    (folder / "pack" / "words.py").write_text("WORD = 'inner'\n")
    with (folder / "pack" / "__init__.py").open("a") as file:
        file.write("    def repository_facts(self): return WORD\n")
    assert await found_in(folder).first("repository_facts", repository=WEB) == "inner"


def test_what_is_no_plugin_in_the_folder_is_left_alone(folder):
    for name in ("_draft.py", ".hidden.py", "test_ping.py", "conftest.py", "notes.txt", "empty/readme.txt"):
        dropped(folder, name, "raise RuntimeError\n")
    plugins = found_in(folder)
    assert (plugins.names(), plugins.broken) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('x')",
        "import no_such_module_anywhere",
        "def (",
        "raise SystemExit(1)",
        "class Plugin:\n    def __init__(self, needed): ...",
        "class Plugin:\n    def __init__(self): 1 / 0",
    ],
)
def test_one_broken_plugin_never_stops_the_others(folder, caplog, body):
    dropped(folder, "broken.py", body)
    dropped(folder, "ping.py", PING)
    plugins = found_in(folder)
    plugins.check_pending()
    assert plugins.names() == ["ping"]
    assert [each.name for each in plugins.broken] == ["broken"]
    assert "broken" in caplog.text
    assert "threadsmith_plugin_broken" not in sys.modules


def test_a_disabled_plugin_is_never_loaded(folder):
    dropped(folder, "off.py", "raise RuntimeError\n")
    plugins = found_in(folder, "off")
    assert (plugins.names(), plugins.broken) == ([], [])
    assert [(each.name, each.problem) for each in plugins.describe()] == [("off", "disabled")]


@pytest.mark.parametrize("name", ["slack.py", "Ping.py", "my-plugin.py", "repositories.py", "data.py"])
def test_a_name_that_cannot_have_a_section_is_refused(folder, name):
    dropped(folder, name, PING)
    plugins = found_in(folder)
    assert plugins.names() == []
    assert plugins.broken[0].name == name[:-3]


def test_two_plugins_of_one_name_do_not_replace_each_other(folder):
    dropped(folder, "ping.py", PING)
    dropped(folder, "ping/__init__.py", PING)
    plugins = found_in(folder)
    assert plugins.names() == ["ping"]
    assert "same name" in plugins.broken[0].reason


@pytest.mark.parametrize("kind", ["missing", "file", "open to all"])
def test_a_folder_that_cannot_be_trusted_is_a_mistake(tmp_path, kind):
    folder = tmp_path / "dropped"
    match kind:
        case "file":
            folder.write_text("")
        case "open to all":
            folder.mkdir()
            folder.chmod(0o777)
            dropped(folder, "ping.py", PING)
    plugins = found_in(folder)
    with pytest.raises(ConfigError, match=r"plugins\.folder"):
        plugins.check_pending()
    assert plugins.names() == []


async def test_a_plugin_may_be_installed_as_a_package(monkeypatch):
    """The entry point is a real one, only the installation is spared."""
    point = EntryPoint("packaged", "plugins.repo_classifier", "threadsmith")
    monkeypatch.setattr(loading, "entry_points", lambda group: [point] if group == "threadsmith" else [])
    plugins = Plugins(())
    plugins.discover(PluginSettings())
    assert plugins.names() == ["packaged"]
    assert plugins.implementers("choose_repository") == ["packaged"]


def test_the_built_in_plugins_are_found_and_nothing_is_wrong_with_them():
    plugins = Plugins()
    plugins.schemas(PluginSettings())
    plugins.check_pending()
    assert plugins.broken == []
    assert plugins.names()[: len(BUILT_IN)] == list(BUILT_IN)
    assert all(each.hooks and each.version for each in plugins.describe() if each.name in BUILT_IN)


def test_describe_names_the_hooks_of_each():
    assert [each.hooks for each in having(Facts(1)).describe()] == [("repository_facts",)]


# -- settings ----------------------------------------------------------------------------------------


class Small(BaseModel):
    size: int = 1


class Schemed(Facts):
    @hookimpl
    def config_schema(self) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def test_each_plugin_says_what_its_section_holds():
    plugins = having(Schemed(Small), Facts("x"), Schemed(None))
    schemas = plugins.schemas(PluginSettings())
    assert schemas.models == {"a": Small}
    assert schemas.without >= {"b", "c"}


@pytest.mark.parametrize("answer", [RuntimeError(), "no model", Small()])
def test_a_schema_that_is_none_leaves_its_plugin_out(answer):
    plugins = having(Schemed(answer), Facts("x"))
    schemas = plugins.schemas(PluginSettings())
    assert "a" in schemas.unread
    assert "a" not in plugins.names()
    assert "b" in plugins.names()


class Setting:
    def __init__(self, error: Exception | None = None) -> None:
        self.context, self.error = None, error

    @hookimpl
    async def setup(self, context):
        self.context = context
        if self.error is not None:
            raise self.error


async def test_setup_gives_each_plugin_its_own_settings_and_folder(tmp_path):
    one, two = Setting(), Setting()
    plugins = having(one, two, Facts(1))
    await plugins.setup({"a": Small(size=7)}, [WEB], tmp_path, 3)
    assert one.context.settings == Small(size=7)
    assert two.context.settings is None
    assert one.context.data == tmp_path / "plugins" / "a"
    assert one.context.data.is_dir()
    assert not (tmp_path / "plugins" / "c").exists()
    assert (one.context.epoch, list(one.context.repositories)) == (3, [WEB])


async def test_a_plugin_whose_setup_fails_is_left_out(tmp_path):
    plugins = having(Setting(RuntimeError("boom")), Setting())
    await plugins.setup({}, [], tmp_path, 1)
    assert plugins.names() == ["b"]
    assert "setup failed" in plugins.broken[0].reason


async def test_mistakes_found_in_setup_are_raised_together(tmp_path):
    errors = [ConfigError([Mistake(name, "x", "y", "z")]) for name in ("one", "two")]
    with pytest.raises(ConfigError) as caught:
        await having(*map(Setting, errors)).setup({}, [], tmp_path, 1)
    assert [each.key for each in caught.value.mistakes] == ["one", "two"]


async def test_a_user_error_in_setup_leaves_the_plugin_out_and_says_why(tmp_path):
    plugins = having(Setting(UserError("install bubblewrap")))
    await plugins.setup({}, [], tmp_path, 1)
    assert "install bubblewrap" in plugins.broken[0].reason


def test_every_hook_can_be_called(caplog):
    """The signature check finds each specification, so a hook that is added needs nothing else."""
    caplog.set_level(logging.ERROR)
    plugins = having()
    for hook in [name for name in vars(Specs) if not name.startswith("_")]:
        assert plugins.implementers(hook) == []

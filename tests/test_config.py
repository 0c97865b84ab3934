"""config.toml -> settings: every mistake at once, and never a secret in one."""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, model_validator

from bot import Secret, Section
from bot.config import Settings, load, parse, read
from bot.config_models import PluginSettings, Schemas, SettingRow, core_rows, setting_rows
from bot.errors import ConfigError, Mistake
from bot.plugins import Plugins

TOKEN = "xoxb-1234567890-abcdefghijklmnop"
ENVIRONMENT = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_APP_TOKEN": "xapp-1-A-secret"}
SLACK = {"bot_token": {"env": "SLACK_BOT_TOKEN"}, "app_token": {"env": "SLACK_APP_TOKEN"}}
MINIMAL = {"slack": SLACK}
EXAMPLE = Path(__file__).parent.parent / "config.example.toml"


class Offered:
    """A stand-in for the plugins: the schemas a test wants there to be."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas_ = schemas
        self.asked: PluginSettings | None = None

    def schemas(self, settings: PluginSettings) -> Schemas:
        self.asked = settings
        return self.schemas_


def checked(table: dict[str, Any], plugins: Offered | None = None, **more: Any) -> Settings:
    return parse(table, "config.toml", plugins, environment=ENVIRONMENT, **more)


def mistakes(table: dict[str, Any], plugins: Offered | None = None, **more: Any) -> dict[str, Mistake]:
    with pytest.raises(ConfigError) as caught:
        checked(table, plugins, **more)
    found = caught.value.mistakes
    assert len({each.key for each in found}) == len(found), "each key is named once"
    return {each.key: each for each in found}


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


# -- what is read ------------------------------------------------------------------------------------


def test_two_tokens_are_enough():
    settings = checked(MINIMAL)
    assert settings.slack.bot_token.reveal() == TOKEN
    assert settings.web.port == 8710
    assert settings.limits.attempts == 3
    assert settings.repositories == ()
    assert not settings.permissions.allow_guests


def test_repositories_become_records_of_the_domain():
    table = {"name": "acme/web", "keywords": ["css"], "channels": ["#web"]}
    (repository,) = checked(MINIMAL | {"repositories": [table]}).repositories
    assert (repository.name, repository.short_name) == ("acme/web", "web")
    assert (repository.keywords, repository.channels) == (("css",), ("#web",))


def test_settings_cannot_be_changed():
    settings = checked(MINIMAL)
    with pytest.raises(AttributeError):
        settings.data = Path("elsewhere")
    with pytest.raises(ValidationError):
        settings.web.port = 1
    with pytest.raises(TypeError):
        settings.sections["x"] = settings.web


def test_relative_paths_start_at_the_file(tmp_path):
    (tmp_path / "dropped").mkdir()
    text = '[slack]\nbot_token = {env = "SLACK_BOT_TOKEN"}\napp_token = {env = "SLACK_APP_TOKEN"}\n'
    path = write(tmp_path, f'data = "here"\n[plugins]\nfolder = "dropped"\n{text}')
    offered = Offered(Schemas())
    settings = load(path, offered, environment=ENVIRONMENT)
    assert settings.data == tmp_path / "here"
    assert settings.plugins.folder == tmp_path / "dropped"
    assert offered.asked == settings.plugins


def test_the_process_environment_is_read_when_none_is_given(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert parse(MINIMAL, "config.toml").slack.bot_token.reveal() == TOKEN


def test_an_absolute_path_stays():
    assert checked(MINIMAL | {"data": "/srv/threadsmith"}).data == Path("/srv/threadsmith")


# -- mistakes ----------------------------------------------------------------------------------------


def test_every_mistake_is_named_at_once():
    table = {
        "dtaa": "x",
        "slack": {"bot_token": {"env": "SLACK_BOT_TOKEN"}, "app_tokn": {"env": "SLACK_APP_TOKEN"}},
        "web": {"port": "8710"},
        "limits": {"attempts": 0},
        "repositories": [{"name": "acme/web"}, {"name": "acme"}],
    }
    found = mistakes(table)
    assert found.keys() == {
        "dtaa",
        "slack.app_token",
        "slack.app_tokn",
        "web.port",
        "limits.attempts",
        "repositories[2].name",
    }
    assert found["web.port"].got == '"8710"'
    assert "8710" in found["web.port"].fix
    assert all(each.expected and each.got and each.fix for each in found.values())


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [("slack", "bot_tokn", "bot_token"), ("limits", "atempts", "attempts"), ("web", "prt", "port")],
)
def test_an_unknown_key_names_the_one_that_was_meant(section, key, meant):
    table = {"slack": dict(SLACK)}
    table.setdefault(section, {})[key] = 1
    assert f"`{meant}`" in mistakes(table)[f"{section}.{key}"].fix


def test_an_unknown_key_unlike_any_lists_what_there_is():
    assert "host, port, public_url" in mistakes(MINIMAL | {"web": {"zzz": 1}})["web.zzz"].fix


def test_an_unknown_section_names_the_plugin_that_was_meant():
    offered = Offered(Schemas(without=frozenset({"repo_classifier"})))
    assert "`repo_classifier`" in mistakes(MINIMAL | {"repo_clasifier": {}}, offered)["repo_clasifier"].fix


@pytest.mark.parametrize("value", [1, "x", [], True, 1.5])
def test_a_section_that_is_no_table_is_a_mistake(value):
    assert "web" in mistakes(MINIMAL | {"web": value})


@pytest.mark.parametrize(
    "name", ["acme", "acme/", "/web", "a/b/c", "acme/..", "acme/x.git", "-a/b", "a b/c", "a/b\n"]
)
def test_a_repository_is_called_owner_slash_name(name):
    found = mistakes(MINIMAL | {"repositories": [{"name": name}]})
    assert found["repositories[1].name"].expected == "`owner/name`"


@pytest.mark.parametrize("branch", ["", "-f", "a..b", "a b", "/a", "a/", "a.lock", "a@{1}", "x\n", "~1"])
def test_a_branch_that_git_would_misread_is_a_mistake(branch):
    table = {"name": "acme/web", "default_branch": branch}
    assert "repositories[1].default_branch" in mistakes(MINIMAL | {"repositories": [table]})


@pytest.mark.parametrize("branch", ["main", "release/1.x", "feature_a", "1.0", "a@b"])
def test_a_usual_branch_is_fine(branch):
    table = {"name": "acme/web", "default_branch": branch}
    assert checked(MINIMAL | {"repositories": [table]}).repositories[0].default_branch == branch


def test_a_repository_given_twice_is_a_mistake_whatever_its_case():
    table = MINIMAL | {"repositories": [{"name": "acme/web"}, {"name": "Acme/Web"}]}
    assert "Acme/Web" in mistakes(table)["repositories"].expected


def test_numbers_are_not_taken_from_words_nor_booleans_from_numbers():
    found = mistakes(MINIMAL | {"limits": {"attempts": "3"}, "permissions": {"allow_guests": 1}})
    assert found.keys() == {"limits.attempts", "permissions.allow_guests"}


def test_a_toml_error_says_where(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "[slack]\nbot_token = \n"))
    (mistake,) = caught.value.mistakes
    assert "line 2" in mistake.got
    assert str(tmp_path) in mistake.key


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(ConfigError, match=r"cp config\.example\.toml"):
        load(tmp_path / "none.toml")


@pytest.mark.proof("input")
@pytest.mark.parametrize("kind", ["folder", "fifo", "binary", "huge", "endless number", "deep"])
def test_what_is_no_configuration_is_a_mistake_and_not_a_traceback(tmp_path, kind):
    path = tmp_path / "config.toml"
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "binary":
            path.write_bytes(b"\xff\xfe\x00")
        case "huge":
            path.write_bytes(b"#" * 2_000_000)
        case "endless number":
            path.write_text("x = " + "9" * 5000)
        case "deep":
            path.write_text("x = " + "[" * 20_000 + "]" * 20_000)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(caught.value.mistakes) == 1


@pytest.mark.proof("input")
@pytest.mark.parametrize("section", ["web", "plugins", "anything"])
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("x = 0x" + "f" * 10_000, "a 64-bit number"),
        ("x" + ".x" * 200 + " = 1", "at most 32 levels"),
        ("x = " + "[" * 50 + "]" * 50, "at most 32 levels"),
    ],
)
def test_hostile_tables_are_refused_before_they_are_checked(tmp_path, section, setting, expected):
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, f"[{section}]\n{setting}"), Offered(Schemas()))
    (mistake,) = caught.value.mistakes
    assert mistake.expected == expected
    assert mistake.key.startswith(f"{section}.x")


SCALARS = st.one_of(
    st.none().map(lambda _: "x"),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.datetimes(),
    st.times(),
)
KEYS = st.one_of(
    st.sampled_from(
        ["slack", "web", "limits", "plugins", "repositories", "bot_token", "env", "file", "name", "port"]
    ),
    st.text(max_size=10),
)
TABLES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.proof("input")
@given(st.dictionaries(KEYS, TABLES, max_size=5))
def test_no_table_whatsoever_gives_a_traceback(table):
    try:
        parse(table, "config.toml", Offered(Schemas()), environment={})
    except ConfigError as error:
        assert error.mistakes


PIECES = st.sampled_from(
    [
        *"[]=.'{},#1-e \"\n\r\0\\é",
        "[[",
        "]]",
        '"""',
        "slack",
        "web",
        "env",
        "x",
        "true",
        "nan",
        "0x",
        "9" * 20,
    ]
)


@pytest.mark.proof("input")
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_no_file_whatsoever_gives_a_traceback(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(text.encode(errors="surrogatepass"))
        with pytest.raises(ConfigError):
            load(path, Offered(Schemas()), environment={})


# -- secrets -----------------------------------------------------------------------------------------


@pytest.mark.proof("input")
@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        "",
        {"env": TOKEN},
        {"file": TOKEN},
        {"environ": TOKEN},
        [TOKEN],
        {"env": "SLACK_BOT_TOKEN", "file": TOKEN},
        {"env": ["a", TOKEN]},
        {"env": "ghp_abcdefghijklmnopqrstuvwxyz0123456789"},
        {"file": "sk-ant-abc123"},
    ],
)
def test_a_secret_that_was_written_down_is_refused_and_never_shown(value):
    with pytest.raises(ConfigError) as caught:
        checked({"slack": SLACK | {"bot_token": value}})
    said = str(caught.value) + repr(caught.value) + repr(caught.value.mistakes)
    assert caught.value.mistakes[0].key == "slack.bot_token"
    for secret in (TOKEN, "ghp_", "sk-ant"):
        assert secret not in said
    assert caught.value.__cause__ is None


@pytest.mark.proof("input")
@pytest.mark.parametrize(
    "table",
    [
        {"web": {"host": TOKEN + "\n"}},
        {"web": {TOKEN: 1}},
        {TOKEN: 1},
        {"slack": SLACK | {"command": TOKEN}},
        {"slack": SLACK | {"bot_tokn": TOKEN}},
        {"git": {"bot_email": TOKEN}},
        {"plugins": {"disabled": [TOKEN]}},
        {"repositories": [{"name": TOKEN}]},
        {"repositories": [{"name": "a/b", "default_branch": f"-{TOKEN}"}]},
        {"limits": {"attempts": TOKEN}},
    ],
)
def test_a_secret_in_the_wrong_place_is_never_shown(table):
    offered = Offered(Schemas())
    with pytest.raises(ConfigError) as caught:
        checked(MINIMAL | table | ({"x": 1} if "web" in table else {}), offered)
    assert TOKEN not in str(caught.value)


def test_a_missing_environment_variable_is_named():
    mistake = mistakes({"slack": SLACK | {"bot_token": {"env": "NOT_THERE"}}})["slack.bot_token"]
    assert "NOT_THERE" in mistake.expected
    assert "export NOT_THERE=" in mistake.fix


def test_an_empty_environment_variable_is_not_a_secret():
    table = {"slack": SLACK}
    with pytest.raises(ConfigError, match="empty variable"):
        parse(table, "config.toml", environment=ENVIRONMENT | {"SLACK_BOT_TOKEN": " \n"})


def test_a_secret_file_is_read_without_its_last_line_break(tmp_path):
    path = tmp_path / "slack.txt"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    settings = checked({"slack": SLACK | {"bot_token": {"file": "slack.txt"}}}, folder=tmp_path)
    assert settings.slack.bot_token.reveal() == TOKEN
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_file_that_others_can_touch_is_refused_with_the_line_that_mends_it(tmp_path, mode):
    path = tmp_path / "it's mine"
    path.write_text(TOKEN)
    path.chmod(mode)
    mistake = mistakes({"slack": SLACK | {"bot_token": {"file": path.name}}}, folder=tmp_path)[
        "slack.bot_token"
    ]
    assert f"mode {mode:04o}" in mistake.got
    assert "chmod 600 '" in mistake.fix
    assert TOKEN not in str(mistake)


@pytest.mark.proof("input")
@pytest.mark.parametrize(
    "kind", ["missing", "empty", "folder", "fifo", "binary", "huge", "NUL", "nobody's home"]
)
def test_a_secret_file_that_holds_none_is_a_mistake(tmp_path, kind):
    path = tmp_path / "secret.txt"
    name = "secret.txt"
    match kind:
        case "empty":
            path.write_text("\n")
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path, 0o600)
        case "binary":
            path.write_bytes(b"\xff\xfe")
        case "huge":
            path.write_bytes(b"x" * 100_000)
        case "NUL":
            name = "secret\0.txt"
        case "nobody's home":
            name = "~no-such-person-here/secret.txt"
    if path.is_file():
        path.chmod(0o600)
    found = mistakes({"slack": SLACK | {"bot_token": {"file": name}}}, folder=tmp_path)
    assert found.keys() == {"slack.bot_token.file" if kind == "NUL" else "slack.bot_token"}


# -- plugins' sections -------------------------------------------------------------------------------


class Inner(Section):
    token: Secret


class Wide(Section):
    """Secrets wherever a plugin may want them."""

    token: Secret | None = None
    people: dict[str, Inner] = Field({})
    tokens: dict[str, Secret] = Field({})
    several: tuple[Secret, ...] = ()
    count: Annotated[int, Field(gt=0)] = 1
    where: Path = Path("x")


class Needy(Section):
    url: str = Field(description="Where it is.")


class Plain(BaseModel):
    """A plugin's author who knows nothing of Section."""

    size: int = 1


class Exploding(Section):
    @model_validator(mode="after")
    def _explode(self) -> "Exploding":
        raise RuntimeError(TOKEN)


def test_a_plugin_finds_its_secrets_at_any_depth():
    env = {"env": "SLACK_BOT_TOKEN"}
    table = {
        "token": env,
        "people": {"U1": {"token": env}},
        "tokens": {"a": env},
        "several": [env],
        "where": "y",
    }
    settings = checked(MINIMAL | {"wide": table}, Offered(Schemas({"wide": Wide})))
    wide = settings.sections["wide"]
    assert isinstance(wide, Wide)
    secrets = [wide.token, wide.people["U1"].token, wide.tokens["a"], wide.several[0]]
    assert [each and each.reveal() for each in secrets] == [TOKEN] * 4
    assert wide.where == Path("y")
    assert TOKEN not in repr(wide)


def test_a_plugin_in_a_test_may_be_given_a_secret_as_it_is():
    assert Inner(token=Secret(TOKEN)).token.reveal() == TOKEN
    with pytest.raises(ValidationError) as caught:
        Inner(token=TOKEN)
    assert TOKEN not in str(caught.value)


def test_mistakes_in_plugin_sections_are_named_with_all_others():
    table = {"wide": {"people": {"U1": {"token": TOKEN}}, "count": 0, "cuont": 1}, "web": {"port": -1}}
    offered = Offered(Schemas({"wide": Wide, "needy": Needy}))
    found = mistakes(MINIMAL | table, offered)
    assert found.keys() == {"wide.people.U1.token", "wide.count", "wide.cuont", "web.port", "needy.url"}
    assert "Where it is." in found["needy.url"].fix
    assert "`count`" in found["wide.cuont"].fix


def test_a_plugin_without_a_section_in_the_file_gets_its_defaults():
    assert checked(MINIMAL, Offered(Schemas({"wide": Wide}))).sections == {"wide": Wide()}


class Tables(Section):
    inner: Inner


def test_a_missing_table_says_what_belongs_into_it():
    mistake = mistakes(MINIMAL, Offered(Schemas({"tables": Tables})))["tables.inner"]
    assert mistake.expected == "a table [tables.inner]"
    assert "token" in mistake.fix


def test_a_plain_pydantic_model_is_as_strict():
    found = mistakes(MINIMAL | {"plain": {"size": "1", "more": 1}}, Offered(Schemas({"plain": Plain})))
    assert found.keys() == {"plain.size", "plain.more"}


def test_a_plugin_whose_own_check_crashes_is_named_and_the_others_are_still_checked():
    offered = Offered(Schemas({"exploding": Exploding, "needy": Needy}))
    found = mistakes(MINIMAL, offered)
    assert found.keys() == {"exploding", "needy.url"}
    assert TOKEN not in str(found["exploding"])


def test_a_section_for_a_plugin_that_takes_none_is_a_mistake():
    offered = Offered(Schemas(without=frozenset({"ping"})))
    assert "takes no settings" in mistakes(MINIMAL | {"ping": {"x": 1}}, offered)["ping"].fix


def test_the_section_of_a_plugin_that_is_left_out_is_not_read():
    offered = Offered(Schemas(unread=frozenset({"broken"})))
    assert checked(MINIMAL | {"broken": {"x": 1}}, offered).sections == {}


@pytest.mark.parametrize("key", ["disabled", "required"])
def test_a_plugin_that_does_not_exist_cannot_be_named(key):
    offered = Offered(Schemas(without=frozenset({"agents"})))
    if key == "disabled":
        found = mistakes(MINIMAL | {"plugins": {"disabled": ["agentz"]}}, offered)
        assert "`agents`" in found["plugins.disabled[1]"].fix
    else:
        found = mistakes(MINIMAL | {"permissions": {"required_plugins": ["agentz"]}}, offered)
        assert "`agents`" in found["permissions.required_plugins[1]"].fix


def test_what_plugins_did_wrong_is_said_together_with_what_the_file_did():
    offered = Offered(Schemas(mistakes=(Mistake("ping.mya", "a hook", "`mya`", "Did you mean `may`?"),)))
    assert mistakes(MINIMAL | {"web": {"port": -1}}, offered).keys() == {"ping.mya", "web.port"}


# -- the example -------------------------------------------------------------------------------------


def rows() -> list[SettingRow]:
    """Every setting there is: the core's and those of the plugins that ship with it."""
    schemas = Plugins().schemas(PluginSettings())
    assert not schemas.mistakes
    return [
        *core_rows(),
        *(row for name, model in schemas.models.items() for row in setting_rows(model, name)),
    ]


def example_lines() -> list[tuple[str, str, str, bool, str]]:
    """(section, key, value, commented out?, the line above) of every setting in the example."""
    sections = {row.section for row in rows()}
    found, section, whole, above = [], "", False, ""
    for line in EXAMPLE.read_text().splitlines():
        if header := re.fullmatch(r"(# )?\[+([\w.]+)\]+", line):
            whole = bool(header[1])  # a table for each of many names is commented out as a whole
            fitting = [each for each in sections if fnmatch(header[2], each)]
            section = header[2] if header[2] in sections else max(fitting, key=len, default=header[2])
        elif setting := re.fullmatch(r"((?:# )*)([a-z_]+) = (.+)", line):
            depth = setting[1].count("#") - whole
            assert depth in (0, 1), line
            text = above.removeprefix("# ") if whole else above
            found.append((section, setting[2], setting[3], depth == 1, text))
        above = line
    return found


NEEDED = dict.fromkeys(re.findall(r'env = "(\w+)"', EXAMPLE.read_text()), "x")


def line_of(row: SettingRow) -> str:
    """What to paste into the example for a setting it lacks."""
    default = "…" if row.default is None else row.default
    return f"[{row.section}]\n# {row.help}\n{row.key} = {default!r}"


def test_the_example_has_every_setting_once_and_no_other():
    there = Counter((section, key) for section, key, *_ in example_lines())
    wanted = {(row.section, row.key): row for row in rows()}
    missing = [line_of(row) for place, row in wanted.items() if place not in there]
    assert not missing, "add to config.example.toml:\n" + "\n".join(missing)
    assert set(there) == set(wanted)
    assert [place for place, count in there.items() if count > 1] == []


def test_the_example_shows_each_default_and_says_what_the_setting_is():
    wanted = {(row.section, row.key): row for row in rows()}
    for section, key, value, commented, above in example_lines():
        row = wanted[section, key]
        assert row.help, f"{section}.{key} has no Field(description=…)"
        assert above == f"# {row.help}", f"{section}.{key}"
        assert commented == (row.default is None and not row.required), f"{section}.{key}"
        if not row.required and not commented:
            default = str(row.default) if isinstance(row.default, Path) else row.default
            assert tomllib.loads(f"{key} = {value}")[key] == default, f"{section}.{key}"


def test_the_example_loads_as_it_is():
    settings = load(EXAMPLE, Plugins(), environment=NEEDED)
    assert [each.name for each in settings.repositories] == ["acme/storefront"]
    assert settings.data == EXAMPLE.parent / "data"


def test_what_is_commented_out_in_the_example_would_load_too(tmp_path):
    (tmp_path / "my_plugins").mkdir()
    text = re.sub(r"^(?:# )+(\[|[a-z_]+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    settings = load(write(tmp_path, text), Plugins(), environment=NEEDED)
    assert settings.web.public_url == "https://threadsmith.example.com"


def test_hosts_in_the_example_are_nobody_s():
    hosts = re.findall(r"https?://([^/\"\s]+)", EXAMPLE.read_text())
    strangers = {host for host in hosts if not re.fullmatch(r"(.+\.)?example\.com|127\.0\.0\.1(:\d+)?", host)}
    assert strangers == {"slack.com", "github.com", "api.github.com"}  # the defaults themselves


def test_read_gives_the_bare_table(tmp_path):
    assert read(write(tmp_path, "a = 1\n")) == {"a": 1}


def test_importing_bot_does_not_wait_for_the_settings():
    code = (
        "import sys, bot; assert 'pydantic' not in sys.modules; bot.Section; assert 'pydantic' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

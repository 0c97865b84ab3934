"""`threadsmith doctor`: tries each outside service and what is needed of this machine, each by itself.

It may run beside a bot: it opens none of its files, and what plugins need goes into a folder that is removed.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bot.bounds import CORE, core_bounds
from bot.config import Settings
from bot.config_models import GitSettings, LimitSettings, PluginSettings
from bot.domain import Bound, Finding, GitAccess, GitPurpose, Repository, Verdict
from bot.errors import ThreadsmithError, UserError
from bot.git.command import Git
from bot.git.failures import FailureKind, GitFailure
from bot.git.process import Bounds
from bot.plugins import Plugins
from bot.registries import Check, CheckRegistry, ProviderRegistry

GIT_NEEDED = (2, 31)  # the first that takes its configuration from variables
OPEN_FILES = 1024
DISK_MIB = 2048
_REMOTE_SECONDS = 20.0
_MIB = 1024 * 1024
_MEND = "Mend it, or name it in `disabled` of [plugins]; --verbose shows more."


@dataclass(frozen=True, slots=True)
class Report:
    """`bounds` belong to who holds them: the bot itself, or a provider."""

    findings: Sequence[Finding]
    bounds: Mapping[str, Sequence[Bound]]

    @property
    def ok(self) -> bool:
        return all(finding.verdict is not Verdict.BROKEN for finding in self.findings)


async def examine(settings: Settings | None, plugins: Plugins) -> Report:
    """Try everything at the same time; without settings only what concerns this machine."""
    data = no_data() if settings is None else settings.data
    checks, providers = CheckRegistry(), ProviderRegistry()
    checks.add("this machine", partial(_machine, data))
    if settings is not None:
        _add_outside(checks, settings, plugins)
    with scratch(data) as folder:
        plugins = await set_up(settings, plugins, folder)
        refused = [
            *_registered(plugins, "register_providers", providers=providers),
            *_registered(plugins, "register_checks", checks=checks),
        ]
        found = await asyncio.gather(*map(_run, checks.checks))
        bounds = {CORE: _core(settings)} | _provided(providers)
        await plugins.close()
    return Report([*_left_out(plugins), *refused, *(each for one in found for each in one)], bounds)


async def set_up(settings: Settings | None, plugins: Plugins, folder: Path) -> Plugins:
    """Set plugins up beside any bot, with `folder` for a data folder. ConfigError when one finds mistakes.

    Without settings it returns others: those that work without a word of configuration.
    """
    if settings is None:
        sections, plugins = _unconfigured()
        await plugins.setup(sections, (), folder, 0)
    else:
        models = settings.gateway.known_models()
        await plugins.setup(settings.sections, settings.repositories, folder, 0, models)
    return plugins


def no_data() -> Path:
    """Where the data would be if nothing else was configured."""
    return Path("data").absolute()


def _registered(plugins: Plugins, hook: str, **registry: object) -> list[Finding]:
    return [
        Finding(f"plugin {answer.plugin}", Verdict.BROKEN, f"it failed in {hook}: {answer.error}", _MEND)
        for answer in plugins.call_sync(hook, **registry)
        if answer.error is not None
    ]


def _core(settings: Settings | None) -> list[Bound]:
    if settings is None:
        return core_bounds(LimitSettings.model_validate({}), GitSettings.model_validate({}))
    return core_bounds(settings.limits, settings.git)


def _provided(providers: ProviderRegistry) -> dict[str, Sequence[Bound]]:
    return {
        f"provider {name}": list(provider.bounds(providers.limits[name]))
        for name, provider in providers.providers.items()
    }


def _unconfigured() -> tuple[dict[str, BaseModel], Plugins]:
    """The plugins that work without a word of configuration, and their defaults."""
    sections: dict[str, BaseModel] = {}
    unfit: list[str] = []
    for name, model in Plugins().schemas(PluginSettings.model_validate({})).models.items():
        try:
            sections[name] = model.model_validate({})
        except ValidationError:
            unfit.append(name)
    plugins = Plugins()
    plugins.discover(PluginSettings.model_validate({"disabled": unfit}))
    return sections, plugins


@contextmanager
def scratch(data: Path) -> Iterator[Path]:
    """A folder on the disk that the data is or will be on; elsewhere when that cannot be written to."""
    place = next(folder for folder in (data, *data.parents) if folder.is_dir())
    try:
        made = tempfile.mkdtemp(prefix=".doctor-", dir=place)
    except OSError:
        made = tempfile.mkdtemp(prefix="threadsmith-doctor-")
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


async def _run(check: Check) -> Sequence[Finding]:
    """What it found, or that it did not manage to find anything."""
    try:
        async with asyncio.timeout(check.seconds):
            return await check.run()
    except TimeoutError:
        found = f"no answer within {check.seconds:g} s"
        fix = "See what keeps it: a firewall that drops packets, a machine under load. Then try again."
    except UserError as error:
        found, fix = str(error), "As it says."
    except (
        Exception
    ) as error:  # a plugin's check, or a fault of ours: the other lines are wanted all the same
        found, fix = f"the check itself failed: {type(error).__name__}", "Report it, with --verbose."
    return [Finding(check.name, Verdict.BROKEN, found, fix)]


# -- this machine --------------------------------------------------------------------------------


def _left_out(plugins: Plugins) -> list[Finding]:
    return [
        Finding(f"plugin {each.name}", Verdict.BROKEN, f"left out: {each.reason}", f"{_MEND} ({each.where})")
        for each in plugins.broken
    ]


async def _machine(data: Path) -> list[Finding]:
    return [await _git(), *_data(data), _files()]


async def _git() -> Finding:
    what, fix = "git", "Debian and Ubuntu: sudo apt-get install git; Fedora: sudo dnf install git"
    try:
        said = (await Git().run("--version")).text
    except (OSError, ThreadsmithError) as error:
        found = error.strerror if isinstance(error, OSError) else str(error)
        return Finding(what, Verdict.BROKEN, f"cannot be run: {found}", fix)
    numbers = tuple(map(int, re.findall(r"\d+", said)[:2]))
    if numbers < GIT_NEEDED:
        need = ".".join(map(str, GIT_NEEDED))
        return Finding(what, Verdict.BROKEN, said, f"{need} or newer is needed. {fix}")
    return Finding(what, Verdict.OK, said)


def _data(data: Path) -> list[Finding]:
    place = next(folder for folder in (data, *data.parents) if folder.is_dir())
    if not os.access(place, os.W_OK | os.X_OK):
        fix = f"sudo chown -R {os.geteuid()} {place}"
        return [Finding("data folder", Verdict.BROKEN, f"{place} cannot be written to", fix)]
    free = shutil.disk_usage(place).free // _MIB
    verdict = Verdict.OK if free >= DISK_MIB else Verdict.BEST_EFFORT if free >= 100 else Verdict.BROKEN
    fix = (
        ""
        if verdict is Verdict.OK
        else f"Make room, or choose another `data` in the configuration: df -h {place}"
    )
    return [Finding("data folder", verdict, f"{data}, {free} MiB free", fix)]


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= OPEN_FILES or soft == resource.RLIM_INFINITY:
        return Finding("open files", Verdict.OK, f"{soft}")
    fix = f"ulimit -n {OPEN_FILES}, or LimitNOFILE={OPEN_FILES} in the systemd unit"
    return Finding("open files", Verdict.BEST_EFFORT, f"at most {soft} (hard limit {hard})", fix)


# -- outside -------------------------------------------------------------------------------------


def _add_outside(checks: CheckRegistry, settings: Settings, plugins: Plugins) -> None:
    from bot.slack.checks import check_slack

    checks.add("Slack", partial(check_slack, settings.slack), seconds=25)
    for repository in settings.repositories:
        check = partial(_repository, plugins, repository)
        checks.add(f"repository {repository.name}", check, seconds=_REMOTE_SECONDS + 5)


async def _repository(plugins: Plugins, repository: Repository) -> list[Finding]:
    """Read the remote's branches as the bot does before every turn."""
    what = f"repository {repository.name}"
    access: GitAccess | None = await plugins.first(
        "git_access", repository=repository, person=None, purpose=GitPurpose.FETCH
    )
    if access is None:
        return [Finding(what, Verdict.BROKEN, "no plugin says how to fetch it", "Enable pr_creator.")]
    ref = f"refs/heads/{repository.default_branch}"
    args = ("ls-remote", "--", access.url, ref)
    try:
        said = await Git().run(*args, what="Reading it", access=access, bounds=Bounds(_REMOTE_SECONDS))
    except GitFailure as error:
        return [Finding(what, Verdict.BROKEN, str(error), _remote_fix(error.kind, access))]
    if not said.text:
        fix = f"Set default_branch of {repository.name}: git ls-remote --symref {access.url} HEAD"
        return [Finding(what, Verdict.BROKEN, f"it has no branch {repository.default_branch}", fix)]
    return [Finding(what, Verdict.OK, f"{access.url}, {repository.default_branch} at {said.text[:12]}")]


def _remote_fix(kind: FailureKind, access: GitAccess) -> str:
    match kind:
        case FailureKind.UNAUTHENTICATED | FailureKind.FORBIDDEN:
            return f"Make a new token with read access to contents, and put it into {access.password.name}."
        case FailureKind.NOT_FOUND:
            return f"Correct the name, or give the account of {access.password.name} access to it on GitHub."
        case _:
            return f"See that it can be reached from here: curl -sSI {access.url}"

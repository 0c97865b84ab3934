"""May this person do this? Denied by default, in the core; plugins can only deny more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bot.config_models import PermissionSettings
from bot.domain import Action, Person, Repository, Subject
from bot.errors import Denied, PluginError
from bot.plugins import Answer, Plugins

_WORDS = {
    Action.START: "start sessions",
    Action.STEER: "steer this session",
    Action.STOP: "stop this session",
    Action.APPROVE: "approve this work",
    Action.SEE: "see this session",
    Action.USE_REPOSITORY: "use this repository",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is "" when allowed, else a sentence for the person."""

    allowed: bool
    reason: str = ""


ALLOWED = Decision(True)


class Permissions:
    """Asks the core's own rule and then every plugin; any "no" wins, and an error is a "no"."""

    def __init__(self, plugins: Plugins, settings: PermissionSettings) -> None:
        self._plugins, self._settings = plugins, settings

    async def may(self, actor: Person, action: Action, subject: Subject) -> Decision:
        """Never raises; whatever cannot be decided is denied."""
        own = core_rule(actor, action, subject, self._settings)
        if not own.allowed:
            return own
        if missing := self._plugins.missing_guards(self._settings.required_plugins):
            return Decision(False, f"Nothing is allowed while plugin `{missing[0]}` is not working.")
        answers = await self._plugins.gather("may", actor=actor, action=action, subject=subject)
        return next((no for no in (_denial(answer, action) for answer in answers) if no is not None), ALLOWED)

    async def require(self, actor: Person, action: Action, subject: Subject) -> None:
        """Denied, with the reason as its text, when `may` says no."""
        decision = await self.may(actor, action, subject)
        if not decision.allowed:
            raise Denied(decision.reason)

    async def repositories_for(self, actor: Person, repositories: Iterable[Repository]) -> list[Repository]:
        """Those of them that this person may use, in order. Ask before classifying, leasing, showing."""
        usable = []
        for repository in repositories:
            subject = Subject(repository=repository.name)
            if (await self.may(actor, Action.USE_REPOSITORY, subject)).allowed:
                usable.append(repository)
        return usable

    def channel(self, channel_id: str, channel_name: str = "") -> Decision:
        """Does the bot work in this channel? All it was invited to, unless the configuration lists some."""
        listed = {each.removeprefix("#") for each in self._settings.channels}
        if not listed or listed & ({channel_id, channel_name} - {""}):
            return ALLOWED
        return Decision(
            False, "I do not work in this channel; `permissions.channels` lists those where I do."
        )


def core_rule(actor: Person, action: Action, subject: Subject, settings: PermissionSettings) -> Decision:
    """What holds whatever plugins say. Nobody approves work that their own text went into."""
    what = _WORDS[action]
    if actor.is_bot and actor.id not in settings.bots:
        return Decision(False, f"Bots may not {what} here unless `permissions.bots` lists them.")
    if actor.is_guest and not settings.allow_guests:
        return Decision(False, f"Guests may not {what} here; `permissions.allow_guests` would let them.")
    if actor.is_stranger and not settings.allow_strangers:
        hint = "`permissions.allow_strangers` would let them."
        return Decision(False, f"People of other organisations may not {what} here; {hint}")
    if action is Action.APPROVE and actor.id in subject.participants:
        return Decision(False, "You took part in this session, so somebody else has to approve it.")
    return ALLOWED


def _denial(answer: Answer, action: Action) -> Decision | None:
    """None passes, and so does True; everything else is a no and says whose."""
    what = _WORDS[action]
    match answer.error:
        case None if answer.value is None or answer.value is True:
            return None
        case None:
            return Decision(False, f"You may not {what}: plugin `{answer.plugin}` says no.")
        case PluginError(incident=incident):
            trouble = f"plugin `{answer.plugin}` could not tell (incident {incident})"
            return Decision(False, f"You may not {what}: {trouble}. Ask an administrator.")
        case error:
            return Decision(False, f"You may not {what}: {error}")

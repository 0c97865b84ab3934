"""The sample team: made-up people and channels, plainly samples, the same in every playground."""

from __future__ import annotations

from dataclasses import dataclass

TEAM_ID = "T0PLAYGRND"
TEAM_NAME = "Playground"
TEAM_DOMAIN = "playground"
APP_ID = "A0PLAYGRND"
BOT_ID = "B0THRDSMTH"
BOT_USER_ID = "U0THRDSMTH"
BOT_LOGIN = "threadsmith-bot"
BOT_GITHUB_ID = 9000001

REPOSITORIES = ("acme/storefront", "acme/ledger")


@dataclass(frozen=True)
class Person:
    """A member of the sample workspace; `github` is the login, `github_id` the account's fixed number."""

    id: str
    name: str
    real_name: str
    color: str
    dm: str
    github: str | None = None
    github_id: int | None = None
    is_bot: bool = False
    is_guest: bool = False

    @property
    def display_name(self) -> str:
        """What a message shows as its author."""
        return self.real_name

    @property
    def commit_email(self) -> str | None:
        """GitHub's own no-reply address of the account, if there is one."""
        return f"{self.github_id}+{self.github}@users.noreply.github.com" if self.github else None


@dataclass(frozen=True)
class Channel:
    """A channel of the sample workspace with its first members; a direct message has a `user` instead."""

    id: str
    name: str
    topic: str
    members: tuple[str, ...]
    user: str | None = None

    @property
    def is_im(self) -> bool:
        """Whether this is a direct message with the bot."""
        return self.user is not None


@dataclass(frozen=True)
class Command:
    """A slash command as the page offers it."""

    command: str
    description: str
    usage_hint: str


ADA = Person("U0ADASAMPL", "ada", "Ada Sample", "c0392b", "D0ADASAMPL", "ada-sample", 9000011)
BEN = Person("U0BENSAMPL", "ben", "Ben Sample", "2471a3", "D0BENSAMPL", "ben-sample", 9000012)
CHLOE = Person("U0CHLOESMP", "chloe", "Chloe Sample", "1e8449", "D0CHLOESMP", "chloe-sample", 9000013)
GUS = Person("U0GUSGUEST", "gus", "Gus Guest", "7d6608", "D0GUSGUEST", is_guest=True)
BOT = Person(BOT_USER_ID, "threadsmith", "Threadsmith", "6c3483", "", BOT_LOGIN, BOT_GITHUB_ID, is_bot=True)

HUMANS = (ADA, BEN, CHLOE, GUS)
PEOPLE = {person.id: person for person in (*HUMANS, BOT)}

_FULL = (ADA.id, BEN.id, CHLOE.id)
CHANNELS = {
    channel.id: channel
    for channel in (
        Channel("C0GENERAL1", "general", "Everything and everyone", (*_FULL, GUS.id, BOT_USER_ID)),
        Channel("C0WEBFRONT", "web", "The storefront: acme/storefront", (*_FULL, GUS.id, BOT_USER_ID)),
        Channel("C0BACKEND1", "backend", "The ledger: acme/ledger", (*_FULL, BOT_USER_ID)),
        Channel("C0RANDOM01", "random", "Anything at all; the bot is not in here", _FULL),
        *(Channel(person.dm, "", "", (person.id, BOT_USER_ID), user=person.id) for person in HUMANS),
    )
}

SCOPES = (
    *("app_mentions:read", "assistant:write", "chat:write", "commands", "files:read", "files:write"),
    *("channels:history", "groups:history", "im:history", "mpim:history"),
    *("channels:read", "groups:read", "im:read", "mpim:read"),
    *("reactions:read", "reactions:write", "users:read"),
)

COMMANDS = (Command("/threadsmith", "Ask Threadsmith about its work", "[help | sessions]"),)


def person_named(name: str) -> Person | None:
    """The person whose handle is `name`, in any case."""
    return next((person for person in PEOPLE.values() if person.name == name.lower()), None)

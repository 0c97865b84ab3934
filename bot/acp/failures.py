"""Words for what went wrong with an agent, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from acp.exceptions import RequestError

from bot.acp.shape import mapping
from bot.acp.text import clean_line
from bot.errors import AgentError

OFFERS_SHOWN = 20
_SIGN_IN_WANTED = -32000


class AgentRefused(AgentError):
    """The agent answered a request with an error; it goes on working. `said` is its own words."""

    def __init__(self, text: str, said: str) -> None:
        self.said = said
        super().__init__(text)


class SignInWanted(AgentError):
    """The agent does nothing before it is signed in."""


def refused(name: str, doing: str, error: RequestError) -> AgentRefused | SignInWanted:
    """The error for a request that the agent answered with one."""
    text = clean_line(str(error), 300)
    details = clean_line(mapping(error.data).get("details"), 300)
    said = f"{text} ({details})" if details else text
    told = f"The agent {name} reported an error while it was {doing}: {said.rstrip('.')}."
    if error.code == _SIGN_IN_WANTED:
        return SignInWanted(f"{told} {_NO_SIGN_IN}")
    return AgentRefused(f"{told} {_hint(said)}", said)


_NO_SIGN_IN = (
    "It wants to be signed in, and nobody signs in inside a sandbox: whoever runs this bot gives it a model "
    "through a route of the gateway, which holds the key, and tells it of that route in [agents] "
    "(the README has a recipe for each agent)."
)


def _hint(said: str) -> str:
    """Failed sign-ins hide in the general error -32603, so the words count."""
    if any(sign in said.lower() for sign in ("401", "unauthorized", "authentication")):
        return "Its model refused the key: look at the model's key at the gateway."
    return "Try again; if it stays so, look at the agent's model and settings."


def no_session(name: str) -> AgentError:
    return AgentError(f"The agent {name} opened a session without a usable id: it cannot be prompted.")


def not_offered(name: str, what: str, offers: Iterable[str]) -> AgentError:
    return AgentError(
        f"The agent {name} has no {what}. Its options are: {_listed(offers)}. "
        f"Change what [agents] sets for {name}."
    )


def not_taken(name: str, what: str, offers: Iterable[str], said: str = "") -> AgentError:
    reason = f" ({said})" if said else ""
    return AgentError(
        f"The agent {name} does not take {clean_line(what, 200)}{reason}. It offers: {_listed(offers)}. "
        f"Change what [agents] sets for {name}."
    )


def _listed(offers: Iterable[str]) -> str:
    names = [clean_line(offer, 100) for offer in offers]
    more = f" and {len(names) - OFFERS_SHOWN} more" if len(names) > OFFERS_SHOWN else ""
    return ", ".join(names[:OFFERS_SHOWN]) + more if names else "none"


def too_slow(name: str, seconds: float, last_words: str) -> AgentError:
    return AgentError(
        f"The agent {name} was not ready after {seconds:g} s.{last_words} "
        "Try again; if it stays so, see whether its command works inside the sandbox."
    )


def wrong_version(name: str, theirs: object, ours: int) -> AgentError:
    return AgentError(
        f"The agent {name} speaks version {clean_line(repr(theirs), 20)} of the Agent Client Protocol, "
        f"and version {ours} is needed. Install a version of it that speaks this one."
    )


def took_too_long(name: str, seconds: float) -> AgentError:
    return AgentError(
        f"The agent {name} was stopped: its turn took longer than the limit of {seconds:g} s. "
        "Ask for less at a time."
    )


def too_silent(name: str, seconds: float) -> AgentError:
    return AgentError(
        f"The agent {name} was stopped: it gave no sign for {seconds:g} s. "
        "Its model may be out of reach; try again, and see `threadsmith doctor` if it stays so."
    )


def too_long(name: str, max_bytes: int) -> AgentError:
    return AgentError(
        f"The agent {name} sent one message of more than {max_bytes} bytes, which is the cap, "
        "and was cut off. Ask it for less output at a time."
    )


def flooded(name: str, what: str) -> AgentError:
    return AgentError(
        f"The agent {name} was cut off: it sent far too many {what}. Try again, or another agent."
    )

"""`[gateway]` and `[budgets]`: where sandboxes may go, with which keys, for how much."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bot.config_secrets import Section
from bot.config_words import HOST_LABEL, HOST_TOP, Count, Url, Word, refuse
from bot.domain import GATEWAY_URL, Model, ModelProtocol
from storage import Secret

_DESTINATION = re.compile(rf"((?:\*\.)?(?:{HOST_LABEL}\.)+{HOST_TOP})(?::([1-9][0-9]{{0,4}}))?")
_ROUTE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()+,;=:@/*-]*")
_DOTS = re.compile(r"//|/\.\.?(?:[/;]|$)")
# Headers that say how a message is sent and to whom; a secret in one of them would break that.
_FRAMING = re.compile(
    r"host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*|accept.*|date"
    r"|range|if-.*|user-agent",
    re.IGNORECASE,
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _destination(value: str) -> str:
    """A host by name, with a port other than 443 after a colon; `*.` stands for one or more labels."""
    found = _DESTINATION.fullmatch(value.lower()) if value.isascii() else None
    if found is None or len(found[1]) > 253 or int(found[2] or 443) > 65535:
        fix = 'Write it as in "registry.example.com", "registry.example.com:8443" or "*.example.com".'
        raise refuse("a host by name, never an address", fix)
    return value.lower()


def _route_name(value: str) -> str:
    if not _ROUTE.fullmatch(value):
        raise refuse("a short name for a route", "Use up to 32 small letters, digits and -.")
    return value


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise refuse("the name of an HTTP header", 'Write it as in header = "Authorization".')
    if _FRAMING.fullmatch(value):
        raise refuse("a header for a secret", 'Use one such as "Authorization" or "X-Api-Key".')
    return value


def _format(value: str) -> str:
    if value.count("{}") != 1 or not (value.isascii() and value.isprintable()):
        raise refuse("a text with {} where the secret goes", 'Write it as in format = "Bearer {}".')
    return value


def _method(value: str) -> str:
    if value not in _METHODS:
        raise refuse("an HTTP method", f"Use some of {', '.join(sorted(_METHODS))}.")
    return value


def _path(value: str) -> str:
    if not _PATH.fullmatch(value) or "*" in value[:-1] or _DOTS.search(value.removesuffix("*")):
        raise refuse("a plain path that begins with /", 'A * may stand at its end, as in "/simple/*".')
    return value


def _refused(expected: str, fix: str) -> PydanticCustomError:
    """Like `refuse`, of what may hold a secret."""
    shown = {"expected": expected, "got": "something else (not shown)", "fix": fix}
    return PydanticCustomError("secret", "{expected}", shown)


def _upstream(value: str) -> str:
    """Without a name, a password or a key in it: those are a secret's, and a path is put behind it."""
    fix = 'Write it as in "https://index.example.com/simple"; what is secret goes into secret = { … }.'
    try:
        found = urlsplit(value)
        fine = bool(found.hostname) and (found.port is None or found.port > 0)
    except ValueError:
        fine = False
    if not fine or "@" in found.netloc or any(char in value for char in "?#\\%") or not value.isascii():
        raise _refused("an address without user, query or fragment", fix)
    if _DOTS.search(found.path.rstrip("/")):
        raise refuse("an address whose path is plain", fix)
    return value


def _sendable(secret: Secret | None) -> Secret | None:
    """A header has one line of plain characters; anything else could begin another header."""
    if secret is not None and not (secret.reveal().isascii() and secret.reveal().isprintable()):
        raise _refused("a secret of printable ASCII characters", f"Look at {secret.name}: is it one line?")
    return secret


Destination = Annotated[str, AfterValidator(_destination)]
Dollars = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class RouteKind(StrEnum):
    PLAIN = "plain"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class RouteSettings(Section):
    """A service that sandboxes reach through the gateway, which adds its key."""

    name: Annotated[str, AfterValidator(_route_name)] = Field(
        description="Programs find it at http://127.0.0.1:3128/routes/NAME."
    )
    kind: RouteKind = Field(
        description='"plain"; or "openai" or "anthropic" for a model provider, whose usage is metered.'
    )
    upstream: Annotated[Url, AfterValidator(_upstream)] = Field(
        description="What that stands for; it may be an address of your own network."
    )
    header: Annotated[str, AfterValidator(_header)] = Field(
        "Authorization", description="The header that carries the secret."
    )
    format: Annotated[str, AfterValidator(_format)] = Field(
        "Bearer {}", description="Its value, with {} where the secret goes."
    )
    secret: Annotated[Secret | None, AfterValidator(_sendable)] = Field(
        None, description="The key; none for a service that wants none."
    )
    methods: list[Annotated[str, AfterValidator(_method)]] = Field(
        ["GET", "HEAD"], description="What may be done; a model provider's route knows by itself."
    )
    paths: list[Annotated[str, AfterValidator(_path)]] = Field(
        ["/*"], description="Paths below `upstream` that may be asked for; a * at the end for all below."
    )
    repositories: list[Word] = Field(
        [], description="Whose sandboxes may use it, as owner/name; empty means all."
    )

    def key_header(self) -> dict[str, str]:
        """The header that carries the secret; empty for a service that wants none."""
        return {} if self.secret is None else {self.header: self.format.replace("{}", self.secret.reveal())}


class ModelSettings(Section):
    """A model that agents may use. What is not listed is refused."""

    name: Word = Field(description="As its provider calls it.")
    route: Word = Field(description="The route to its provider.")
    input_usd: Dollars = Field(description="US dollars per million tokens read; 0 on a machine of your own.")
    output_usd: Dollars = Field(description="US dollars per million tokens written.")
    cached_input_usd: Dollars | None = Field(
        None, description="US dollars per million tokens read from its cache; `input_usd` when left out."
    )
    context_tokens: Count = Field(128_000, description="The most it reads at once, in tokens.")
    output_tokens: Count = Field(8192, description="The most one answer may have, in tokens.")


class GatewaySettings(Section):
    """The only way out of a sandbox."""

    egress: list[Destination] = Field(
        [], description='Hosts all sandboxes may reach: "host" means port 443, "*.host" what is below it.'
    )
    own_model: Word | None = Field(
        None, description="The model for our own questions (which repository, titles); none when left out."
    )
    routes: list[RouteSettings] = Field([], description="Services with a key.")
    models: list[ModelSettings] = Field([], description="Models agents may use; the first is the default.")

    @model_validator(mode="after")
    def _fits_together(self) -> GatewaySettings:
        routes = {route.name: route for route in self.routes}
        models = [model.name for model in self.models]
        if len(routes) < len(self.routes):
            raise refuse("every route once", "Two routes have the same name; rename one.")
        if len(set(models)) < len(models):
            raise refuse("every model once", "Two models have the same name; remove one.")
        for model in self.models:
            route = routes.get(model.route)
            if route is None or route.kind is RouteKind.PLAIN:
                fix = f'Add [[gateway.routes]] with name = "{model.route}" and kind "openai" or "anthropic".'
                raise refuse(f"a model provider's route for {model.name}", fix)
        if self.own_model is not None:
            own = next((model for model in self.models if model.name == self.own_model), None)
            if own is None or routes[own.route].kind is not RouteKind.OPENAI:
                fix = 'Name a model of [[gateway.models]] whose route is of kind "openai".'
                raise refuse("own_model: one of the models", fix)
        return self

    def known_models(self) -> list[Model]:
        """The models as everybody else sees them, the default one first."""
        kinds = {route.name: ModelProtocol(route.kind.value) for route in self.routes if _is_model(route)}
        return [
            Model(
                name=model.name,
                protocol=kinds[model.route],
                route=model.route,
                url=f"{GATEWAY_URL}/routes/{model.route}",
                input_usd=model.input_usd,
                cached_input_usd=model.input_usd
                if model.cached_input_usd is None
                else model.cached_input_usd,
                output_usd=model.output_usd,
                context_tokens=model.context_tokens,
                output_tokens=model.output_tokens,
            )
            for model in self.models
        ]


def _is_model(route: RouteSettings) -> bool:
    return route.kind is not RouteKind.PLAIN


class BudgetSettings(Section):
    """The most that models may cost, our own calls included. A hard stop; what was done is kept."""

    turn_usd: Dollars = Field(5.0, description="One turn, in US dollars.")
    session_usd: Dollars = Field(20.0, description="One session.")
    person_day_usd: Dollars = Field(50.0, description="One person's prompts in a day (UTC).")
    repository_day_usd: Dollars = Field(100.0, description="One repository in a day.")
    day_usd: Dollars = Field(200.0, description="All there is in a day.")
    warn_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        80, description="The part of a budget at which the thread is warned."
    )

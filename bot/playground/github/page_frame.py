"""What every page shares: templates, who is looking, safe headers, the token of its forms."""

import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bot.playground.github.accounts import Account, Identity
from bot.playground.github.door import Door
from bot.playground.github.errors import GitHubSideError
from bot.playground.github.forge import WEB_IDENTITY, Forge
from bot.playground.github.gate import Handler
from bot.playground.github.git import GitError
from bot.playground.github.markdown import to_html

TEMPLATES = Path(__file__).parent / "templates"
_VIEWER = "playground_viewer"
_AS = "as"  # in links from the chat page: who was looking there
_LOCAL_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_STEPS = ((_HOUR, _MINUTE, "minute"), (_DAY, _HOUR, "hour"), (30 * _DAY, _DAY, "day"))


class Frame:
    """Renders templates, and guards what the pages' forms may do."""

    def __init__(self, forge: Forge, door: Door, url: str, secret_prefix: str) -> None:
        self.forge = forge
        self._door = door
        self._url = url
        self._origins = {url, url.replace("127.0.0.1", "localhost")}
        self._form_token = secret_prefix + secrets.token_urlsafe(24)  # forms of an earlier run are refused
        self._templates = _environment(forge)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give every answer the page headers, and people an explanation in place of an error."""
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = self._message(request, error.status, error.reason)
        except GitHubSideError as error:
            response = self._message(request, error.status, error.detail)
        except GitError as error:
            response = self._message(request, 500, str(error))
        if not response.prepared:
            response.headers.update({k: v for k, v in _HEADERS.items() if k not in response.headers})
            if request.query.get(_AS, "").lower() == self.viewer(request).login:
                self._remember(response, self.viewer(request))
        return response

    def _message(self, request: web.Request, status: int, words: str) -> web.StreamResponse:
        headline = "Nothing here" if status == 404 else "That did not work"
        words = "There is no page at this address." if words == "Not Found" else words
        text: dict[str, Any] = {"headline": headline, "words": words, "closed": status == 401}
        return self.render(request, "message.html", status=status, **text)

    def viewer(self, request: web.Request) -> Account:
        """The person the page acts as: the one its link names (`?as=`), else the chosen one, else the first.

        It only decides which button is pressed in; each form says itself in whose name it is sent.
        """
        people = {person.login: person for person in self.forge.accounts.people}
        named = (request.query.get(_AS, ""), request.cookies.get(_VIEWER, ""))
        known = (people[login.lower()] for login in named if login.lower() in people)
        return next(known, self.forge.accounts.people[0])

    def render(
        self, request: web.Request, template: str, status: int = 200, notice: str = "", **values: Any
    ) -> web.Response:
        text = self._templates.get_template(template).render(
            {
                "people": self.forge.accounts.people,
                "viewer": self.viewer(request),
                "form_token": self._form_token if self._door.is_open(request) else "",
                "here": request.path,
                "base_url": self._url,
                "notice": notice,
                **values,
            }
        )
        return web.Response(text=text, status=status, content_type="text/html")

    # -- forms

    async def form(self, request: web.Request) -> Mapping[str, str]:
        """The fields of a form of ours. Raises GitHubSideError (403) for anything sent by another page."""
        if request.headers.get("Origin") not in self._origins:
            raise GitHubSideError(
                403, "This form was sent from another page. Open the page here and try again."
            )
        fields = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        if not hmac.compare_digest(fields.get("token", "").encode(), self._form_token.encode()):
            raise GitHubSideError(403, "The playground was restarted since. Reload the page and try again.")
        return fields

    def person(self, fields: Mapping[str, str]) -> Account:
        """Whom the form acts as. Raises GitHubSideError (422): only people, never the bot."""
        account = self.forge.accounts.by_login(fields.get("login", ""))
        if account is None or account.bot:
            raise GitHubSideError(422, "Choose one of the people to act as.")
        return account

    async def choose_viewer(self, request: web.Request) -> web.StreamResponse:
        """Remember whom to act as, and go back to where the choice was made."""
        fields = await self.form(request)
        person = self.person(fields)
        back = fields.get("back", "/")
        response = see_other(back if _LOCAL_PATH.fullmatch(back) else "/")
        self._remember(response, person)
        return response

    def _remember(self, response: web.StreamResponse, person: Account) -> None:
        response.set_cookie(_VIEWER, person.login, httponly=True, samesite="Strict")


def _environment(forge: Forge) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def account_of(identity: Identity) -> Account | None:
        return forge.accounts.by_email(identity.email)

    environment.filters |= {
        "markdown": to_html,
        "ago": ago,
        "exact": exact,
        "account": account_of,
        "by_login": lambda login: None if login is None else forge.accounts.by_login(login),
        "is_web": lambda identity: identity.email == WEB_IDENTITY.email,
    }
    return environment


def ago(at: str) -> str:
    """An ISO time as people say it, e.g. `3 minutes ago`, or as a date when it is long past."""
    moment = datetime.fromisoformat(at)
    seconds = int((datetime.now(UTC) - moment).total_seconds())
    if seconds < _MINUTE:
        return "just now"
    for limit, step, unit in _STEPS:
        if seconds < limit:
            count = seconds // step
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return f"on {moment.day} {moment:%b %Y}"


def exact(at: str) -> str:
    """An ISO time in full."""
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M:%S} UTC"


def see_other(place: str) -> web.Response:
    """Send the browser on, so that reloading does not repeat what a form did."""
    return web.Response(status=303, headers={"Location": place})


def static(path: Path, content_type: str) -> Handler:
    """Serves one file that ships with the playground."""

    text = path.read_text("utf-8")

    async def serve(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type=content_type)

    return serve

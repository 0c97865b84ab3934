"""What the REST handlers share: the parts they work with, pages of lists, and argument checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp import web

from bot.playground.github.accounts import Account
from bot.playground.github.errors import GitHubSideError, invalid
from bot.playground.github.forge import Forge
from bot.playground.github.gate import account_of
from bot.playground.github.pull_shapes import PullShapes
from bot.playground.github.pulls import Pulls
from bot.playground.github.repository import Repository
from bot.playground.github.shapes import Shapes

T = TypeVar("T")
REPOSITORY = "/repos/{owner}/{name}"
_PER_PAGE, _PER_PAGE_LIMIT = 30, 100


@dataclass(frozen=True, slots=True)
class Rest:
    """The forge and how it is written as JSON; every group of handlers holds one."""

    forge: Forge
    pulls: Pulls
    shapes: Shapes
    pull_shapes: PullShapes

    def readable(self, request: web.Request) -> tuple[Repository, Account | None]:
        """The repository of the address, and who asks. Raises GitHubSideError (404)."""
        account = account_of(request)
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        return self.forge.readable(account, name), account

    def writable(self, request: web.Request) -> tuple[Repository, Account]:
        """The same for those who may push. Raises GitHubSideError (403, 404)."""
        repository, account = self.readable(request)
        return repository, self.forge.require_write(account, repository)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list was asked for: `number` counts from 1."""

    number: int
    size: int

    @property
    def start(self) -> int:
        return (self.number - 1) * self.size


def page_of(request: web.Request, size: int = _PER_PAGE) -> Page:
    """`page` and `per_page` of the query; like GitHub, nonsense counts as the default."""
    wanted = _positive(request.query.get("per_page"), size)
    return Page(_positive(request.query.get("page"), 1), min(wanted, _PER_PAGE_LIMIT))


def _positive(text: str | None, default: int) -> int:
    usable = text is not None and text.isascii() and text.isdigit() and len(text) < 9 and int(text) > 0
    return int(text) if usable and text is not None else default


def linked(request: web.Request, api_url: str, page: Page, total: int, body: object) -> web.Response:
    """One page of a list, with GitHub's Link header to the others."""
    last = max(1, -(-total // page.size))
    targets = {"prev": page.number - 1, "next": page.number + 1, "last": last, "first": 1}
    wanted = [
        (name, number)
        for name, number in targets.items()
        if 1 <= number <= last and number != page.number and not (name == "last" and page.number >= last)
    ]
    path = request.path.partition("/api/v3")[2]
    links = []
    for name, number in wanted:
        query = urlencode({**request.query, "page": number})
        links.append(f'<{api_url}{path}?{query}>; rel="{name}"')
    headers = {"Link": ", ".join(links)} if links else {}
    return web.json_response(body, headers=headers)


def slice_of(items: Sequence[T], page: Page) -> Sequence[T]:
    return items[page.start : page.start + page.size]


def text(body: Mapping[str, Any], field: str, resource: str) -> str | None:
    """A string of a request body, None when absent. Raises GitHubSideError (422) for anything else."""
    value = body.get(field)
    if value is not None and not (isinstance(value, str) and "\0" not in value):
        raise invalid(resource, field)
    return value


def required_text(body: Mapping[str, Any], field: str, resource: str) -> str:
    value = text(body, field, resource)
    if not value:
        raise invalid(resource, field, "missing_field")
    return value


def number_of(request: web.Request, name: str = "number") -> int:
    """A number of the address. Raises GitHubSideError (404), since no such thing can exist."""
    value = request.match_info[name]
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise GitHubSideError(404, "Not Found")
    return int(value)


def wants(request: web.Request, kind: str) -> bool:
    """Whether `Accept` asks for `diff` or `patch` in place of JSON."""
    accept = request.headers.get("Accept", "")
    return f"vnd.github.{kind}" in accept or f"vnd.github.v3.{kind}" in accept

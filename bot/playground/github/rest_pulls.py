"""REST: pull requests, their reviews, merges, and the list of them."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from bot.playground.github.accounts import Account
from bot.playground.github.errors import GitHubSideError, invalid, not_found
from bot.playground.github.gate import json_body
from bot.playground.github.repository import Repository
from bot.playground.github.rest import (
    REPOSITORY,
    Rest,
    linked,
    number_of,
    page_of,
    required_text,
    slice_of,
    text,
    wants,
)
from bot.playground.github.shapes import Json
from bot.playground.github.store import Pull, distinct

PULLS = REPOSITORY + "/pulls"
PULL = PULLS + "/{number}"
_SORTS: dict[str, Callable[[Pull], Any]] = {
    "created": lambda pull: pull.number,
    "updated": lambda pull: (pull.updated_at, pull.number),
    "popularity": lambda pull: pull.number,
    "long-running": lambda pull: pull.number,
}


class PullRoutes:
    """Everything below `/repos/OWNER/NAME/pulls`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_get(PULLS, self.list_pulls)
        router.add_post(PULLS, self.create)
        router.add_get(PULL, self.get)
        router.add_patch(PULL, self.update)
        router.add_get(PULL + "/commits", self.commits)
        router.add_get(PULL + "/files", self.files)
        router.add_get(PULL + "/merge", self.is_merged)
        router.add_put(PULL + "/merge", self.merge)
        router.add_get(PULL + "/comments", self.line_comments)
        router.add_get(PULL + "/requested_reviewers", self.reviewers)
        router.add_post(PULL + "/requested_reviewers", self.request_reviewers)
        router.add_delete(PULL + "/requested_reviewers", self.request_reviewers)
        router.add_get(PULL + "/reviews", self.reviews)
        router.add_post(PULL + "/reviews", self.review)
        router.add_get(PULL + "/reviews/{id}", self.one_review)
        router.add_get(PULL + "/reviews/{id}/comments", self.line_comments)

    async def list_pulls(self, request: web.Request) -> web.Response:
        repository, account = self._rest.readable(request)
        query, page = request.query, page_of(request)
        state = query.get("state", "open")
        if state not in ("open", "closed", "all"):
            raise invalid("PullRequest", "state")
        found = self._rest.forge.store.pulls(repository.full_name, state)
        found = [pull for pull in found if _matches(repository, pull, query.get("head"), query.get("base"))]
        sort = query.get("sort", "created")
        newest_first = query.get("direction", "desc" if sort == "created" else "asc") == "desc"
        found.sort(key=_SORTS.get(sort, _SORTS["created"]), reverse=newest_first)
        body = [
            await self._rest.pull_shapes.brief(repository, pull, account) for pull in slice_of(found, page)
        ]
        return linked(request, self._rest.shapes.api, page, len(found), body)

    async def create(self, request: web.Request) -> web.Response:
        repository, account = self._rest.writable(request)
        body = await json_body(request)
        pull = await self._rest.pulls.create(
            repository,
            account,
            title=required_text(body, "title", "PullRequest"),
            body=text(body, "body", "PullRequest"),
            head=required_text(body, "head", "PullRequest"),
            base=required_text(body, "base", "PullRequest"),
            draft=body.get("draft") is True,
        )
        response = await self._full(repository, pull, account, status=201)
        response.headers["Location"] = self._rest.pull_shapes.url(repository, pull)
        return response

    async def get(self, request: web.Request) -> web.Response:
        repository, account, pull = self._pull(request)
        if wants(request, "diff") or wants(request, "patch"):
            fork_point = await self._rest.pulls.fork_point(repository, pull)
            patch = await repository.patch(fork_point, pull.head_sha)
            return web.Response(body=patch, content_type="text/plain", charset="utf-8")
        return await self._full(repository, pull, account)

    async def update(self, request: web.Request) -> web.Response:
        repository, account, pull = self._pull(request)
        if account is None:
            raise not_found()
        body = await json_body(request)
        fields = {name: text(body, name, "PullRequest") for name in ("title", "body", "state", "base")}
        return await self._full(
            repository, await self._rest.pulls.update(repository, pull, account, **fields), account
        )

    async def _full(
        self, repository: Repository, pull: Pull, account: Account | None, status: int = 200
    ) -> web.Response:
        facts = await self._rest.pulls.facts(repository, pull)
        body = await self._rest.pull_shapes.full(repository, pull, facts, account)
        return web.json_response(body, status=status)

    async def commits(self, request: web.Request) -> web.Response:
        repository, _, pull = self._pull(request)
        commits, page = await self._rest.pulls.commits(repository, pull), page_of(request)
        body = [self._rest.shapes.commit(repository, commit) for commit in slice_of(commits, page)]
        return linked(request, self._rest.shapes.api, page, len(commits), body)

    async def files(self, request: web.Request) -> web.Response:
        repository, _, pull = self._pull(request)
        files = await repository.diff(await self._rest.pulls.fork_point(repository, pull), pull.head_sha)
        page = page_of(request)
        body = [self._rest.shapes.file(repository, pull.head_sha, file) for file in slice_of(files, page)]
        return linked(request, self._rest.shapes.api, page, len(files), body)

    # -- merging

    async def is_merged(self, request: web.Request) -> web.Response:
        _, _, pull = self._pull(request)
        if not pull.merged:
            raise not_found()
        return web.Response(status=204)

    async def merge(self, request: web.Request) -> web.Response:
        repository, account, pull = self._pull(request)
        account = self._rest.forge.require_write(account, repository)
        body = await json_body(request)
        method = text(body, "merge_method", "PullRequest")
        pull = await self._rest.pulls.merge(
            repository,
            pull,
            account,
            method="merge" if method is None else method,
            title=text(body, "commit_title", "PullRequest"),
            message=text(body, "commit_message", "PullRequest"),
            sha=text(body, "sha", "PullRequest"),
        )
        return web.json_response(
            {"sha": pull.merge_sha, "merged": True, "message": "Pull Request successfully merged"}
        )

    # -- reviews

    async def line_comments(self, request: web.Request) -> web.Response:
        """Comments on single lines: none are kept here."""
        self._pull(request)
        return web.json_response([])

    async def reviews(self, request: web.Request) -> web.Response:
        repository, _, pull = self._pull(request)
        reviews, page = self._rest.forge.store.reviews(pull), page_of(request)
        body = [self._rest.pull_shapes.review(repository, pull, review) for review in slice_of(reviews, page)]
        return linked(request, self._rest.shapes.api, page, len(reviews), body)

    async def review(self, request: web.Request) -> web.Response:
        repository, account, pull = self._pull(request)
        if account is None:
            raise not_found()
        body = await json_body(request)
        if body.get("comments"):
            raise GitHubSideError(422, "Comments on single lines are not kept by this playground")
        event = text(body, "event", "PullRequestReview")
        words = text(body, "body", "PullRequestReview")
        review = await self._rest.pulls.review(
            repository,
            pull,
            account,
            "PENDING" if event is None else event,
            "" if words is None else words,
        )
        return web.json_response(self._rest.pull_shapes.review(repository, pull, review))

    async def one_review(self, request: web.Request) -> web.Response:
        repository, _, pull = self._pull(request)
        wanted = number_of(request, "id")
        for review in self._rest.forge.store.reviews(pull):
            shape = self._rest.pull_shapes.review(repository, pull, review)
            if shape["id"] == wanted:
                return web.json_response(shape)
        raise not_found()

    async def reviewers(self, request: web.Request) -> web.Response:
        _, _, pull = self._pull(request)
        users = [self._rest.shapes.user(login) for login in pull.reviewers]
        return web.json_response({"users": users, "teams": []})

    async def request_reviewers(self, request: web.Request) -> web.Response:
        """Add (POST) or remove (DELETE) requested reviewers; both answer with the pull request."""
        repository, account, pull = self._pull(request)
        account = self._rest.forge.require_write(account, repository)
        wanted = (await json_body(request)).get("reviewers", [])
        named = distinct(wanted) if isinstance(wanted, list) else []
        if request.method == "DELETE":
            left = [login for login in pull.reviewers if login not in named]
        else:
            self._check_reviewers(repository, pull, named)
            left = distinct([*pull.reviewers, *named])
        pull = self._rest.forge.store.update_pull(pull, reviewers=left)
        body: Json = await self._rest.pull_shapes.brief(repository, pull, account)
        return web.json_response(body, status=200 if request.method == "DELETE" else 201)

    def _check_reviewers(self, repository: Repository, pull: Pull, named: list[str]) -> None:
        if pull.author in named:
            raise GitHubSideError(422, "Review cannot be requested from pull request author.")
        for login in named:
            account = self._rest.forge.accounts.by_login(login)
            if not self._rest.forge.permission(account, repository):
                raise GitHubSideError(
                    422,
                    "Reviews may only be requested from collaborators. One or more of the users or"
                    f" teams you specified is not a collaborator of the {repository.full_name} repository.",
                )

    def _pull(self, request: web.Request) -> tuple[Repository, Account | None, Pull]:
        repository, account = self._rest.readable(request)
        return repository, account, self._rest.pulls.find(repository, number_of(request))


def _matches(repository: Repository, pull: Pull, head: str | None, base: str | None) -> bool:
    if base is not None and pull.base != base:
        return False
    # GitHub ignores a head without an owner; an owner that is not ours has no branches here.
    return head is None or ":" not in head or head.lower() == f"{repository.owner}:{pull.head}".lower()

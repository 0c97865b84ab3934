"""REST: the issue side of pull requests: comments and labels."""

from aiohttp import web

from bot.playground.github.accounts import Account, Permission
from bot.playground.github.errors import forbidden, invalid, not_found
from bot.playground.github.gate import json_body, json_value
from bot.playground.github.pull_shapes import COMMENT_IDS
from bot.playground.github.repository import Repository
from bot.playground.github.rest import REPOSITORY, Rest, linked, number_of, page_of, required_text, slice_of
from bot.playground.github.store import Comment, Pull, distinct

ISSUE = REPOSITORY + "/issues/{number}"
COMMENT = REPOSITORY + "/issues/comments/{id}"


class IssueRoutes:
    """`/issues/N`, its comments and labels. Every issue here is a pull request."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_get(COMMENT, self.comment)
        router.add_patch(COMMENT, self.edit_comment)
        router.add_delete(COMMENT, self.delete_comment)
        router.add_get(ISSUE, self.issue)
        router.add_get(ISSUE + "/comments", self.comments)
        router.add_post(ISSUE + "/comments", self.add_comment)
        router.add_get(ISSUE + "/labels", self.labels)
        router.add_post(ISSUE + "/labels", self.add_labels)
        router.add_put(ISSUE + "/labels", self.set_labels)
        router.add_delete(ISSUE + "/labels", self.clear_labels)
        router.add_delete(ISSUE + "/labels/{label}", self.remove_label)

    async def issue(self, request: web.Request) -> web.Response:
        repository, _, pull = self._pull(request)
        return web.json_response(self._rest.pull_shapes.issue(repository, pull))

    # -- comments

    async def comments(self, request: web.Request) -> web.Response:
        repository, _, pull = self._pull(request)
        comments, page = self._rest.forge.store.comments(pull), page_of(request)
        body = [self._rest.pull_shapes.comment(repository, pull, each) for each in slice_of(comments, page)]
        return linked(request, self._rest.shapes.api, page, len(comments), body)

    async def add_comment(self, request: web.Request) -> web.Response:
        repository, account, pull = self._pull(request)
        if account is None:
            raise not_found()
        words = required_text(await json_body(request), "body", "IssueComment")
        comment = self._rest.forge.store.add_comment(pull, account.login, words)
        return web.json_response(self._rest.pull_shapes.comment(repository, pull, comment), status=201)

    async def comment(self, request: web.Request) -> web.Response:
        repository, _, pull, comment = self._comment(request)
        return web.json_response(self._rest.pull_shapes.comment(repository, pull, comment))

    async def edit_comment(self, request: web.Request) -> web.Response:
        repository, account, pull, comment = self._comment(request)
        self._require_own(repository, account, comment)
        words = required_text(await json_body(request), "body", "IssueComment")
        comment = self._rest.forge.store.edit_comment(comment, words)
        return web.json_response(self._rest.pull_shapes.comment(repository, pull, comment))

    async def delete_comment(self, request: web.Request) -> web.Response:
        repository, account, _, comment = self._comment(request)
        self._require_own(repository, account, comment)
        self._rest.forge.store.delete_comment(comment)
        return web.Response(status=204)

    def _comment(self, request: web.Request) -> tuple[Repository, Account | None, Pull, Comment]:
        repository, account = self._rest.readable(request)
        wanted = number_of(request, "id") - COMMENT_IDS
        found = self._rest.forge.store.find_comment(repository.full_name, wanted)
        if found is None:
            raise not_found()
        return repository, account, *found

    def _require_own(self, repository: Repository, account: Account | None, comment: Comment) -> None:
        own = account is not None and account.login == comment.author
        if not own and self._rest.forge.permission(account, repository) < Permission.WRITE:
            raise forbidden()

    # -- labels

    async def labels(self, request: web.Request) -> web.Response:
        repository, _, pull = self._pull(request)
        return self._labelled(repository, pull)

    async def add_labels(self, request: web.Request) -> web.Response:
        repository, pull = self._writable(request)
        return self._label(repository, pull, [*pull.labels, *await _named_labels(request)])

    async def set_labels(self, request: web.Request) -> web.Response:
        repository, pull = self._writable(request)
        return self._label(repository, pull, await _named_labels(request))

    async def remove_label(self, request: web.Request) -> web.Response:
        repository, pull = self._writable(request)
        gone = request.match_info["label"]
        if gone not in pull.labels:
            raise not_found()
        return self._label(repository, pull, [label for label in pull.labels if label != gone])

    async def clear_labels(self, request: web.Request) -> web.Response:
        repository, pull = self._writable(request)
        self._label(repository, pull, [])
        return web.Response(status=204)

    def _label(self, repository: Repository, pull: Pull, names: list[str]) -> web.Response:
        pull = self._rest.forge.store.update_pull(pull, labels=distinct(names))
        return self._labelled(repository, pull)

    def _labelled(self, repository: Repository, pull: Pull) -> web.Response:
        return web.json_response([self._rest.pull_shapes.label(repository, name) for name in pull.labels])

    def _writable(self, request: web.Request) -> tuple[Repository, Pull]:
        repository, account, pull = self._pull(request)
        self._rest.forge.require_write(account, repository)
        return repository, pull

    def _pull(self, request: web.Request) -> tuple[Repository, Account | None, Pull]:
        repository, account = self._rest.readable(request)
        return repository, account, self._rest.pulls.find(repository, number_of(request))


async def _named_labels(request: web.Request) -> list[str]:
    """GitHub takes a plain list as well as `{"labels": [...]}`."""
    body = await json_value(request)
    names = body if isinstance(body, list) else body.get("labels") if isinstance(body, dict) else None
    if not isinstance(names, list) or not all(
        isinstance(name, str) and 0 < len(name) <= 50 for name in names
    ):
        raise invalid("Label", "name")
    return names

"""REST: files of a repository, read and written through the API."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bot.playground.github.accounts import Account, Identity
from bot.playground.github.errors import GitHubSideError, invalid, not_found
from bot.playground.github.forge import WEB_IDENTITY, signed_now
from bot.playground.github.gate import json_body
from bot.playground.github.repository import Entry, Repository
from bot.playground.github.rest import REPOSITORY, Rest, required_text, text
from bot.playground.github.shapes import Json
from bot.playground.github.writing import Change, checked_path, move_reference, write_commit


class ContentRoutes:
    """`/contents/PATH`, `/readme` and `/git/blobs/SHA`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_get(REPOSITORY + "/readme", self.readme)
        router.add_get(REPOSITORY + "/git/blobs/{sha}", self.blob)
        router.add_get(REPOSITORY + "/contents", self.read)
        router.add_get(REPOSITORY + "/contents/{path:.*}", self.read)
        router.add_put(REPOSITORY + "/contents/{path:.+}", self.write)
        router.add_delete(REPOSITORY + "/contents/{path:.+}", self.write)

    async def readme(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        ref, sha = await self._ref(request, repository)
        for entry in await repository.listing(sha):
            if entry.kind == "blob" and entry.name.lower() in ("readme.md", "readme", "readme.txt"):
                return web.json_response(await self._file(repository, entry, ref))
        raise not_found()

    async def blob(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        sha = await repository.resolve(request.match_info["sha"], "blob")
        if sha is None:
            raise not_found()
        content = await repository.blob(sha)
        url = f"{self._rest.shapes.repository_url(repository)}/git/blobs/{sha}"
        return web.json_response({"sha": sha, "url": url, "size": len(content), **_encoded(content)})

    async def read(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        ref, sha = await self._ref(request, repository)
        path = request.match_info.get("path", "").strip("/")
        if path:
            entry = await _entry(repository, sha, checked_path(path))
            if entry is None:
                raise not_found()
            if entry.kind == "blob":
                return web.json_response(await self._file(repository, entry, ref))
        entries = await repository.listing(sha, f"{path}/" if path else "")
        return web.json_response([self._rest.shapes.entry(repository, each, ref) for each in entries])

    async def _file(self, repository: Repository, entry: Entry, ref: str) -> Json:
        content = await repository.blob(entry.sha)
        return {**self._rest.shapes.entry(repository, entry, ref), **_encoded(content)}

    async def _ref(self, request: web.Request, repository: Repository) -> tuple[str, str]:
        wanted = request.query.get("ref")
        ref = await repository.default_branch() if wanted is None else wanted
        sha = await repository.resolve(ref)
        if sha is None:
            raise GitHubSideError(404, f"No commit found for the ref {ref}")
        return ref, sha

    async def write(self, request: web.Request) -> web.Response:
        """Create, change (PUT) or remove (DELETE) one file, as one commit on a branch."""
        repository, account = self._rest.writable(request)
        body = {**request.query, **await json_body(request)}
        path = checked_path(request.match_info["path"].strip("/"))
        content = None if request.method == "DELETE" else _decoded(body)
        async with repository.lock:
            branch, parent = await self._branch(repository, body)
            entry = await _entry(repository, parent, path)
            self._check_sha(body, entry, path, removing=content is None)
            sha = await self._commit(repository, account, body, branch, parent, Change(path, content))
        await self._rest.pulls.sync(repository)
        return await self._written(repository, path, branch, sha, created=entry is None)

    async def _branch(self, repository: Repository, body: Mapping[str, Any]) -> tuple[str, str]:
        wanted = text(body, "branch", "Content")
        branch = await repository.default_branch() if wanted is None else wanted.removeprefix("refs/heads/")
        parent = (await repository.branches()).get(branch)
        if parent is None:
            raise GitHubSideError(404, f"Branch {branch} not found")
        return branch, parent

    def _check_sha(self, body: Mapping[str, Any], entry: Entry | None, path: str, removing: bool) -> None:
        known = text(body, "sha", "Content")
        if entry is None and removing:
            raise not_found()
        if entry is not None and known is None:
            raise GitHubSideError(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        if known is not None and (entry is None or known != entry.sha):
            raise GitHubSideError(409, f"{path} does not match {known}")

    async def _commit(
        self,
        repository: Repository,
        account: Account,
        body: Mapping[str, Any],
        branch: str,
        parent: str,
        change: Change,
    ) -> str:
        message = required_text(body, "message", "Content")
        committer = _identity(body.get("committer"), WEB_IDENTITY)
        author = _identity(body.get("author"), account.identity)
        sha = await write_commit(
            repository, [parent], [change], message, signed_now(author), signed_now(committer)
        )
        await move_reference(repository, f"refs/heads/{branch}", sha, parent)
        return sha

    async def _written(
        self, repository: Repository, path: str, branch: str, sha: str, created: bool
    ) -> web.Response:
        entry = await _entry(repository, sha, path)
        content = None if entry is None else self._rest.shapes.entry(repository, entry, branch)
        commit = self._rest.shapes.git_commit(repository, await repository.commit(sha))
        return web.json_response({"content": content, "commit": commit}, status=201 if created else 200)


async def _entry(repository: Repository, sha: str, path: str) -> Entry | None:
    return next((entry for entry in await repository.listing(sha, path) if entry.path == path), None)


def _encoded(content: bytes) -> dict[str, str]:
    # GitHub breaks its base64 into lines of 60 characters, and clients must cope with that.
    encoded = base64.b64encode(content).decode()
    lines = [encoded[at : at + 60] for at in range(0, len(encoded), 60)]
    return {"encoding": "base64", "content": "".join(f"{line}\n" for line in lines)}


def _decoded(body: Mapping[str, Any]) -> bytes:
    content = text(body, "content", "Content")
    if content is None:
        raise invalid("Content", "content", "missing_field")
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise GitHubSideError(422, "content is not valid Base64") from None


def _identity(given: object, default: Identity) -> Identity:
    if not isinstance(given, dict):
        return default
    name, email = given.get("name"), given.get("email")
    if not (isinstance(name, str) and isinstance(email, str) and name.strip() and email.strip()):
        raise GitHubSideError(422, "author and committer need a name and an email")
    return Identity(name, email)

"""REST: repositories, references, branches, commits, trees and comparisons."""

from typing import Any

from aiohttp import web

from bot.playground.github.errors import GitHubSideError, not_found
from bot.playground.github.gate import json_body
from bot.playground.github.pulls import COMMITS_SHOWN
from bot.playground.github.repository import Repository
from bot.playground.github.rest import REPOSITORY, Rest, linked, page_of, required_text, slice_of, wants
from bot.playground.github.shapes import Json
from bot.playground.github.writing import delete_reference, move_reference

_WRITABLE = ("refs/heads/", "refs/tags/")


class RepositoryRoutes:
    """Everything below `/repos/OWNER/NAME` that is about git itself."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_get(REPOSITORY, self.repository)
        router.add_get(REPOSITORY + "/branches", self.branches)
        router.add_get(REPOSITORY + "/branches/{branch:.+}", self.branch)
        router.add_get(REPOSITORY + "/git/refs", self.references)
        router.add_get(REPOSITORY + "/git/matching-refs/{ref:.*}", self.matching_references)
        router.add_get(REPOSITORY + "/git/ref/{ref:.+}", self.reference)
        router.add_get(REPOSITORY + "/git/refs/{ref:.+}", self.reference)
        router.add_post(REPOSITORY + "/git/refs", self.create_reference)
        router.add_patch(REPOSITORY + "/git/refs/{ref:.+}", self.update_reference)
        router.add_delete(REPOSITORY + "/git/refs/{ref:.+}", self.delete_reference)
        router.add_get(REPOSITORY + "/git/commits/{sha}", self.git_commit)
        router.add_get(REPOSITORY + "/git/trees/{sha:.+}", self.tree)
        router.add_get(REPOSITORY + "/commits", self.commits)
        router.add_get(REPOSITORY + "/commits/{ref:.+}/{kind:status|statuses|check-runs|pulls}", self.checks)
        router.add_get(REPOSITORY + "/commits/{ref:.+}", self.commit)
        router.add_get(REPOSITORY + "/compare/{range:.+}", self.compare)

    async def repository(self, request: web.Request) -> web.Response:
        repository, account = self._rest.readable(request)
        return web.json_response(await self._rest.shapes.repository(repository, account))

    # -- branches and references

    async def branches(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        branches, page = sorted((await repository.branches()).items()), page_of(request)
        url = self._rest.shapes.repository_url(repository)
        body = [
            {"name": name, "commit": {"sha": sha, "url": f"{url}/commits/{sha}"}, "protected": False}
            for name, sha in slice_of(branches, page)
        ]
        return linked(request, self._rest.shapes.api, page, len(branches), body)

    async def branch(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        name = request.match_info["branch"]
        sha = (await repository.branches()).get(name)
        if sha is None:
            raise GitHubSideError(404, "Branch not found")
        url = f"{self._rest.shapes.repository_url(repository)}/branches/{name}"
        page = f"{self._rest.shapes.html_url(repository)}/tree/{name}"
        body = {
            "name": name,
            "commit": self._rest.shapes.commit(repository, await repository.commit(sha)),
            "_links": {"self": url, "html": page},
            "protected": False,
            "protection": {"enabled": False, "required_status_checks": None},
            "protection_url": f"{url}/protection",
        }
        return web.json_response(body)

    async def references(self, request: web.Request) -> web.Response:
        return await self._list_references(request, "refs/", "")

    async def matching_references(self, request: web.Request) -> web.Response:
        return await self._list_references(request, "refs/", f"refs/{request.match_info['ref']}")

    async def _list_references(self, request: web.Request, below: str, prefix: str) -> web.Response:
        repository, _ = self._rest.readable(request)
        found = sorted((await repository.refs(below)).items())
        found = [(name, sha) for name, sha in found if name.startswith(prefix)]
        page = page_of(request)
        body = [self._rest.shapes.reference(repository, name, sha) for name, sha in slice_of(found, page)]
        return linked(request, self._rest.shapes.api, page, len(found), body)

    async def reference(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        name = f"refs/{request.match_info['ref']}"
        sha = (await repository.refs("refs/")).get(name)
        if sha is None:
            raise not_found()
        return web.json_response(self._rest.shapes.reference(repository, name, sha))

    async def create_reference(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.writable(request)
        body = await json_body(request)
        name, sha = required_text(body, "ref", "Reference"), required_text(body, "sha", "Reference")
        if not name.startswith(_WRITABLE):
            raise GitHubSideError(422, "Reference name must start with 'refs/heads/' or 'refs/tags/'.")
        if name in await repository.refs("refs/"):
            raise GitHubSideError(422, "Reference already exists")
        await self._move(repository, name, sha, None)
        return web.json_response(self._rest.shapes.reference(repository, name, sha), status=201)

    async def update_reference(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.writable(request)
        body = await json_body(request)
        name, sha = f"refs/{request.match_info['ref']}", required_text(body, "sha", "Reference")
        old = (await repository.refs("refs/")).get(name)
        if old is None or not name.startswith(_WRITABLE):
            raise GitHubSideError(422, "Reference does not exist")
        known = await repository.resolve(sha)
        if known is not None and not body.get("force") and not await repository.is_ancestor(old, known):
            raise GitHubSideError(422, "Update is not a fast forward")
        await self._move(repository, name, sha, old)
        return web.json_response(self._rest.shapes.reference(repository, name, sha))

    async def delete_reference(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.writable(request)
        name = f"refs/{request.match_info['ref']}"
        if name not in await repository.refs("refs/") or not name.startswith(_WRITABLE):
            raise GitHubSideError(422, "Reference does not exist")
        if name == f"refs/heads/{await repository.default_branch()}":
            raise GitHubSideError(422, "Cannot delete the default branch")
        await delete_reference(repository, name)
        await self._rest.pulls.sync(repository)
        return web.Response(status=204)

    async def _move(self, repository: Repository, name: str, sha: str, old: str | None) -> None:
        if await repository.resolve(sha) != sha:
            raise GitHubSideError(422, "Object does not exist")
        await move_reference(repository, name, sha, old)
        await self._rest.pulls.sync(repository)

    # -- commits and trees

    async def commits(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        wanted = request.query.get("sha")
        sha = await self._resolve(repository, await repository.default_branch() if wanted is None else wanted)
        path, page = request.query.get("path", ""), page_of(request)
        found = await repository.log(sha, limit=page.size, skip=page.start, path=path)
        body = [self._rest.shapes.commit(repository, commit) for commit in found]
        total = await repository.count(sha, path=path)
        return linked(request, self._rest.shapes.api, page, total, body)

    async def commit(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        sha = await self._resolve(repository, request.match_info["ref"])
        if wants(request, "sha"):
            return web.Response(text=sha)
        commit = await repository.commit(sha)
        parent = commit.parents[0] if commit.parents else await repository.empty_tree()
        if wants(request, "diff"):
            return web.Response(body=await repository.patch(parent, sha), content_type="text/plain")
        files = await repository.diff(parent, sha)
        additions, deletions = sum(f.additions for f in files), sum(f.deletions for f in files)
        body = {
            **self._rest.shapes.commit(repository, commit),
            "stats": {"additions": additions, "deletions": deletions, "total": additions + deletions},
            "files": [self._rest.shapes.file(repository, sha, file) for file in files],
        }
        return web.json_response(body)

    async def checks(self, request: web.Request) -> web.Response:
        """Nothing runs checks here: honest empty answers. `pulls` lists those that contain the commit."""
        repository, account = self._rest.readable(request)
        sha = await self._resolve(repository, request.match_info["ref"])
        kind = request.match_info["kind"]
        if kind == "statuses":
            return web.json_response([])
        if kind == "check-runs":
            return web.json_response({"total_count": 0, "check_runs": []})
        if kind == "pulls":
            pulls = [p for p in self._rest.forge.store.pulls(repository.full_name) if p.head_sha == sha]
            return web.json_response(
                [await self._rest.pull_shapes.brief(repository, pull, account) for pull in pulls]
            )
        url = self._rest.shapes.repository_url(repository)
        return web.json_response(
            {
                "state": "pending",
                "statuses": [],
                "sha": sha,
                "total_count": 0,
                "repository": await self._rest.shapes.repository(repository, account),
                "commit_url": f"{url}/commits/{sha}",
                "url": f"{url}/commits/{sha}/status",
            }
        )

    async def git_commit(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        sha = await repository.resolve(request.match_info["sha"])
        if sha is None:
            raise not_found()
        return web.json_response(self._rest.shapes.git_commit(repository, await repository.commit(sha)))

    async def tree(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        sha = await repository.resolve(request.match_info["sha"], "tree")
        if sha is None:
            raise not_found()
        url = self._rest.shapes.repository_url(repository)
        entries = await repository.listing(sha, recursive="recursive" in request.query)
        body: Json = {"sha": sha, "url": f"{url}/git/trees/{sha}", "truncated": False}
        body["tree"] = [
            {
                "path": entry.path,
                "mode": entry.mode,
                "type": entry.kind,
                "sha": entry.sha,
                **({"size": entry.size} if entry.kind == "blob" else {}),
                "url": f"{url}/git/{entry.kind}s/{entry.sha}",
            }
            for entry in entries
        ]
        return web.json_response(body)

    async def compare(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        names = request.match_info["range"].split("...")
        if len(names) != 2:
            raise not_found()
        owner = f"{repository.owner}:"
        base, head = [await self._resolve(repository, name.removeprefix(owner), 404) for name in names]
        fork_point = await repository.merge_base(base, head)
        if fork_point is None:
            raise GitHubSideError(404, f"No common ancestor between {names[0]} and {names[1]}.")
        if wants(request, "diff"):
            return web.Response(body=await repository.patch(fork_point, head), content_type="text/plain")
        return web.json_response(
            await self._comparison(repository, request.match_info["range"], base, head, fork_point)
        )

    async def _comparison(
        self, repository: Repository, names: str, base: str, head: str, fork_point: str
    ) -> dict[str, Any]:
        ahead, behind = await repository.count(head, f"^{base}"), await repository.count(base, f"^{head}")
        word = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
        shapes = self._rest.shapes
        url, html = shapes.repository_url(repository), shapes.html_url(repository)
        commits = await repository.log(head, f"^{base}", limit=COMMITS_SHOWN)
        return {
            "url": f"{url}/compare/{names}",
            "html_url": f"{html}/compare/{names}",
            "permalink_url": f"{html}/compare/{base}...{head}",
            "diff_url": f"{html}/compare/{names}.diff",
            "patch_url": f"{html}/compare/{names}.patch",
            "base_commit": shapes.commit(repository, await repository.commit(base)),
            "merge_base_commit": shapes.commit(repository, await repository.commit(fork_point)),
            "status": word,
            "ahead_by": ahead,
            "behind_by": behind,
            "total_commits": ahead,
            "commits": [shapes.commit(repository, commit) for commit in reversed(commits)],
            "files": [
                shapes.file(repository, head, file) for file in await repository.diff(fork_point, head)
            ],
        }

    async def _resolve(self, repository: Repository, revision: str, status: int = 422) -> str:
        sha = await repository.resolve(revision)
        if sha is not None:
            return sha
        if status == 404:
            raise not_found()
        raise GitHubSideError(422, f"No commit found for SHA: {revision}")

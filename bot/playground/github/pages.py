"""The pages people look at: repositories, files, commits, pull requests."""

from collections.abc import Mapping
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Middleware

from bot.playground.github import page_views
from bot.playground.github.accounts import Account
from bot.playground.github.avatars import avatar, mark
from bot.playground.github.door import Door
from bot.playground.github.errors import GitHubSideError, not_found
from bot.playground.github.forge import Forge
from bot.playground.github.page_frame import TEMPLATES, Frame, see_other, static
from bot.playground.github.pulls import Pulls
from bot.playground.github.repository import Entry, Repository
from bot.playground.github.rest import number_of
from bot.playground.github.store import Pull

_PLACE = "/{owner}/{name}"
_PULL = _PLACE + r"/pull/{number:\d+}"
_COLORS = TEMPLATES.parent.parent / "page" / "colors.css"  # one look with the chat page
_LATEST = 10
_TEXT_LIMIT_BYTES = 512 * 1024


class Pages:
    """Server-rendered pages; everything works without scripts."""

    def __init__(self, forge: Forge, pulls: Pulls, door: Door, url: str, secret_prefix: str) -> None:
        self._forge = forge
        self._store = forge.store
        self._pulls = pulls
        self._door = door
        self._frame = Frame(forge, door, url, secret_prefix)

    @property
    def guard(self) -> Middleware:
        """The middleware that makes these pages safe and their errors readable."""
        return self._frame.guard

    def add_routes(self, app: web.Application) -> None:
        router, door = app.router, self._door
        router.add_get("/", door(self.home))
        router.add_post("/-/viewer", door(self._frame.choose_viewer))
        router.add_get("/-/colors.css", static(_COLORS, "text/css"))
        router.add_get("/-/github.css", static(TEMPLATES / "github.css", "text/css"))
        router.add_get("/-/diff.css", static(TEMPLATES / "diff.css", "text/css"))
        router.add_get("/-/mark.svg", self.mark)
        router.add_get("/-/avatars/{login}.svg", self.avatar)
        router.add_get(_PULL, door(self.pull))
        router.add_get(_PULL + "{kind:[.](?:diff|patch)}", door(self.pull_diff))
        router.add_post(_PULL + "/{action:merge|close|reopen|say}", door(self.act))
        router.add_get("/{login}", door(self.account))
        router.add_get(_PLACE, door(self.repository))
        router.add_get(_PLACE + "/tree/{place:.+}", door(self.tree))
        router.add_get(_PLACE + "/blob/{place:.+}", door(self.blob))
        router.add_get(_PLACE + "/raw/{place:.+}", door(self.raw))
        router.add_get(_PLACE + "/commit/{sha}", door(self.commit))

    async def mark(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=mark(), content_type="image/svg+xml")

    async def avatar(self, request: web.Request) -> web.StreamResponse:
        account = self._forge.accounts.by_login(request.match_info["login"])
        return web.Response(text=avatar(account), content_type="image/svg+xml")

    async def account(self, request: web.Request) -> web.StreamResponse:
        """Accounts have no pages of their own; what they do is on the first page."""
        login = request.match_info["login"].lower()
        owners = {self._forge.repository(name).owner for name in self._forge.names()}
        if self._forge.accounts.by_login(login) is None and login not in owners:
            raise not_found()
        return see_other("/")

    # -- repositories

    async def home(self, request: web.Request) -> web.StreamResponse:
        repositories = [self._forge.repository(name) for name in self._forge.names()]
        latest = [(each, pull) for each in repositories for pull in self._store.pulls(each.full_name)]
        latest.sort(key=lambda pair: (pair[1].updated_at, pair[1].id), reverse=True)
        shown = [
            {"row": self._forge.row(each), "open": len(self._store.pulls(each.full_name, "open"))}
            for each in repositories
        ]
        return self._frame.render(request, "home.html", repositories=shown, pulls=latest[:_LATEST])

    async def repository(self, request: web.Request) -> web.StreamResponse:
        repository = self._repository(request)
        branch = await repository.default_branch()
        return await self._folder(request, repository, branch, "")

    async def tree(self, request: web.Request) -> web.StreamResponse:
        repository = self._repository(request)
        ref, path = await self._split(repository, request.match_info["place"])
        return await self._folder(request, repository, ref, path)

    async def _folder(
        self, request: web.Request, repository: Repository, ref: str, path: str
    ) -> web.StreamResponse:
        sha = await self._resolve(repository, ref)
        found = await page_views.listed(repository, sha, path)
        latest = await repository.log(sha, limit=1, path=path)
        if not found or not latest:
            raise not_found()
        return self._frame.render(
            request,
            "repository.html",
            repository=repository,
            row=self._forge.row(repository),
            ref=ref,
            path=path,
            trail=_trail(repository, ref, path),
            latest=latest[0],
            entries=found,
            readme=await page_views.readme_of(repository, [item.entry for item in found]),
            pulls=self._store.pulls(repository.full_name)[:_LATEST],
            branches=sorted(await repository.branches()),
        )

    async def blob(self, request: web.Request) -> web.StreamResponse:
        repository, ref, entry = await self._file(request)
        text, note = "", "This file is too large to show here."
        if entry.size <= _TEXT_LIMIT_BYTES:
            content = await repository.blob(entry.sha)
            note = "A binary file." if b"\0" in content else ""
            text = "" if note else content.decode("utf-8", "replace")
        return self._frame.render(
            request,
            "blob.html",
            repository=repository,
            ref=ref,
            path=entry.path,
            trail=_trail(repository, ref, entry.path),
            lines=text.splitlines(),
            note=note,
            prose=text if entry.name.lower().endswith(".md") else "",
        )

    async def raw(self, request: web.Request) -> web.StreamResponse:
        """The file itself, as plain text whatever it is: nothing in it may act as a page of ours."""
        repository, _, entry = await self._file(request)
        content = await repository.blob(entry.sha)
        return web.Response(body=content, content_type="text/plain", charset="utf-8")

    async def commit(self, request: web.Request) -> web.StreamResponse:
        repository = self._repository(request)
        sha = await self._resolve(repository, request.match_info["sha"])
        commit = await repository.commit(sha)
        parent = commit.parents[0] if commit.parents else await repository.empty_tree()
        files = await repository.diff(parent, sha)
        return self._frame.render(
            request,
            "commit.html",
            repository=repository,
            commit=commit,
            rest=commit.message.partition("\n")[2].strip(),
            shown=page_views.shown_files(files),
            additions=sum(file.additions for file in files),
            deletions=sum(file.deletions for file in files),
        )

    # -- pull requests

    async def pull(self, request: web.Request) -> web.StreamResponse:
        repository = self._repository(request)
        return await self._show(request, repository, self._pulls.find(repository, number_of(request)))

    async def _show(
        self, request: web.Request, repository: Repository, pull: Pull, status: int = 200, notice: str = ""
    ) -> web.StreamResponse:
        values = await page_views.pull_page(repository, self._pulls, self._store, pull)
        return self._frame.render(request, "pull.html", status=status, notice=notice, **values)

    async def pull_diff(self, request: web.Request) -> web.StreamResponse:
        repository = self._repository(request)
        pull = self._pulls.find(repository, number_of(request))
        patch = await repository.patch(await self._pulls.fork_point(repository, pull), pull.head_sha)
        return web.Response(body=patch, content_type="text/plain", charset="utf-8")

    async def act(self, request: web.Request) -> web.StreamResponse:
        """One of the buttons. What is refused is explained on the same page."""
        fields = await self._frame.form(request)
        person, repository = self._frame.person(fields), self._repository(request)
        pull = self._pulls.find(repository, number_of(request))
        try:
            self._forge.readable(person, repository.full_name)
            await self._do(repository, pull, person, request.match_info["action"], fields)
        except GitHubSideError as error:
            pull = self._pulls.find(repository, pull.number)
            return await self._show(request, repository, pull, error.status, error.detail)
        return see_other(f"/{repository.full_name}/pull/{pull.number}")

    async def _do(
        self, repository: Repository, pull: Pull, person: Account, action: str, fields: Mapping[str, str]
    ) -> None:
        if action == "merge":
            await self._pulls.merge(repository, pull, person)
        elif action in ("close", "reopen"):
            state = "closed" if action == "close" else "open"
            await self._pulls.update(repository, pull, person, state=state)
        elif fields.get("state") == "comment":
            if not fields.get("body", "").strip():
                raise GitHubSideError(422, "There is nothing in your comment yet.")
            self._store.add_comment(pull, person.login, fields["body"])
        else:
            await self._pulls.review(
                repository, pull, person, fields.get("state", ""), fields.get("body", "")
            )

    # -- finding things

    def _repository(self, request: web.Request) -> Repository:
        return self._forge.repository(f"{request.match_info['owner']}/{request.match_info['name']}")

    async def _resolve(self, repository: Repository, revision: str) -> str:
        sha = await repository.resolve(revision)
        if sha is None:
            raise not_found()
        return sha

    async def _split(self, repository: Repository, place: str) -> tuple[str, str]:
        """`branch/with/slashes/path` into branch (or id) and path."""
        for name in sorted(await repository.branches(), key=len, reverse=True):
            if place == name or place.startswith(f"{name}/"):
                return name, place[len(name) + 1 :].strip("/")
        ref, _, path = place.partition("/")
        return ref, path.strip("/")

    async def _file(self, request: web.Request) -> tuple[Repository, str, Entry]:
        repository = self._repository(request)
        ref, path = await self._split(repository, request.match_info["place"])
        sha = await self._resolve(repository, ref)
        for entry in await repository.listing(sha, path) if path else []:
            if entry.path == path and entry.kind == "blob":
                return repository, ref, entry
        raise not_found()


def _trail(repository: Repository, ref: str, path: str) -> list[tuple[str, str | None]]:
    """Each folder on the way, as name and address; the last has no address."""
    parts = path.split("/") if path else []
    below = f"/{repository.full_name}/tree/{quote(ref)}"
    trail: list[tuple[str, str | None]] = [
        (part, f"{below}/{quote('/'.join(parts[: at + 1]))}") for at, part in enumerate(parts)
    ]
    return [*trail[:-1], (parts[-1], None)] if parts else []

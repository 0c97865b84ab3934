"""REST: accounts, their repositories, and the API's own facts."""

import time

from aiohttp import web

from bot.playground.github.accounts import Account, Permission
from bot.playground.github.errors import GitHubSideError, not_found
from bot.playground.github.gate import RATE_LIMIT, account_of
from bot.playground.github.repository import Repository
from bot.playground.github.rest import REPOSITORY, Rest, linked, page_of, slice_of


class UserRoutes:
    """`/user`, `/users/...`, `/orgs/...`, collaborators, `/rate_limit`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_get("/", self.root)
        router.add_get("/rate_limit", self.rate_limit)
        router.add_get("/user", self.me)
        router.add_get("/user/repos", self.my_repositories)
        router.add_get("/users/{login}", self.user)
        router.add_get("/user/{id}", self.user_by_id)
        router.add_get("/orgs/{login}", self.organization)
        router.add_get("/orgs/{login}/repos", self.my_repositories)
        router.add_get(REPOSITORY + "/collaborators", self.collaborators)
        router.add_get(REPOSITORY + "/collaborators/{login}", self.collaborator)
        router.add_get(REPOSITORY + "/collaborators/{login}/permission", self.permission)

    async def root(self, request: web.Request) -> web.Response:
        api = self._rest.shapes.api
        places = {"current_user_url": "/user", "repository_url": "/repos/{owner}/{repo}"}
        return web.json_response({name: api + place for name, place in places.items()})

    async def rate_limit(self, request: web.Request) -> web.Response:
        reset = (int(time.time()) // 3600 + 1) * 3600
        core = {"limit": RATE_LIMIT, "used": 0, "remaining": RATE_LIMIT, "reset": reset}
        resources = dict.fromkeys(("core", "search", "graphql"), core)
        return web.json_response({"resources": resources, "rate": core})

    async def me(self, request: web.Request) -> web.Response:
        return web.json_response(self._rest.shapes.profile(self._signed_in(request)))

    async def my_repositories(self, request: web.Request) -> web.Response:
        account, forge = self._signed_in(request), self._rest.forge
        everything = [forge.repository(name) for name in forge.names()]
        seen = [each for each in everything if forge.permission(account, each) >= Permission.READ]
        if "login" in request.match_info:
            seen = [each for each in seen if each.owner == request.match_info["login"].lower()]
        page = page_of(request)
        body = [await self._rest.shapes.repository(each, account) for each in slice_of(seen, page)]
        return linked(request, self._rest.shapes.api, page, len(seen), body)

    async def user(self, request: web.Request) -> web.Response:
        login = request.match_info["login"]
        account = self._rest.forge.accounts.by_login(login)
        if account is not None:
            return web.json_response(self._rest.shapes.profile(account))
        return await self.organization(request)

    async def user_by_id(self, request: web.Request) -> web.Response:
        for account in self._rest.forge.accounts:
            if str(account.id) == request.match_info["id"]:
                return web.json_response(self._rest.shapes.profile(account))
        raise not_found()

    async def organization(self, request: web.Request) -> web.Response:
        login, forge = request.match_info["login"].lower(), self._rest.forge
        if login not in {forge.repository(name).owner for name in forge.names()}:
            raise not_found()
        return web.json_response(self._rest.shapes.organization(login))

    async def collaborators(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        accounts = [
            account
            for account in self._rest.forge.accounts
            if self._rest.forge.permission(account, repository) > Permission.NONE
        ]
        page = page_of(request)
        body = [self._rest.shapes.user(account.login) for account in slice_of(accounts, page)]
        return linked(request, self._rest.shapes.api, page, len(accounts), body)

    async def collaborator(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        if self._permission(repository, request.match_info["login"])[1] == Permission.NONE:
            raise not_found()
        return web.Response(status=204)

    async def permission(self, request: web.Request) -> web.Response:
        repository, _ = self._rest.readable(request)
        account, permission = self._permission(repository, request.match_info["login"])
        if account is None:
            raise not_found()
        user = self._rest.shapes.user(account.login)
        role = permission.word
        return web.json_response({"permission": role, "role_name": role, "user": user})

    def _permission(self, repository: Repository, login: str) -> tuple[Account | None, Permission]:
        account = self._rest.forge.accounts.by_login(login)
        return account, self._rest.forge.permission(account, repository)

    def _signed_in(self, request: web.Request) -> Account:
        account = account_of(request)
        if account is None:
            raise GitHubSideError(401, "Requires authentication")
        return account

"""git over HTTP: `git http-backend` as a CGI program on the same bare repositories."""

import asyncio
import contextlib
from collections.abc import Mapping

from aiohttp import web

from bot.playground.github.accounts import Account, Permission
from bot.playground.github.errors import GitHubSideError
from bot.playground.github.forge import Forge
from bot.playground.github.gate import Gate, account_of, cut
from bot.playground.github.git import CLEAN_ENVIRONMENT, git_program, kill_group
from bot.playground.github.pulls import Pulls
from bot.playground.github.repository import Repository
from bot.playground.github.request_log import Logged

_TIME_LIMIT_SECONDS = 600.0
_CHUNK_BYTES = 64 * 1024
_SERVICES = ("git-upload-pack", "git-receive-pack")


class SmartHttp:
    """Clone, fetch and push, for those whose token allows it."""

    def __init__(self, forge: Forge, pulls: Pulls, gate: Gate) -> None:
        self._forge = forge
        self._pulls = pulls
        self._gate = gate

    def add_routes(self, app: web.Application) -> None:
        place = "/{owner}/{name}"
        app.router.add_get(place + "/info/refs", self.advertise)
        for service in _SERVICES:
            app.router.add_post(f"{place}/{service}", self.serve)

    async def advertise(self, request: web.Request) -> web.StreamResponse:
        """What there is to fetch, or to push onto."""
        service = request.query.get("service", "")
        return await self._handle(request, service, "GET", request.path_qs)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One fetch or one push. In the log its method is the service's name."""
        service = request.path.rsplit("/", 1)[-1]
        return await self._handle(request, service, service, request.path.removesuffix(f"/{service}"))

    async def _handle(self, request: web.Request, service: str, method: str, path: str) -> web.StreamResponse:
        # Before a large push git tries an empty one (a lone flush packet); that is no push.
        probe = request.content_length == 4
        entry, fault = (Logged.unlisted(), None) if probe else self._gate.admit(method, path)
        try:
            self._gate.identify(request, entry)
            repository, account = self._allowed(request, service)
            if fault in ("rate_limited", "server_error"):
                raise GitHubSideError(429 if fault == "rate_limited" else 502, f"fault on order: {fault}")
            if fault == "refused":
                raise GitHubSideError(401, "Bad credentials")
            response = await self._run(request, repository, account, service, lost=fault == "lost_reply")
        except GitHubSideError as error:
            response = _refusal(error)
        entry.status = 0 if fault == "lost_reply" else response.status
        return response

    def _allowed(self, request: web.Request, service: str) -> tuple[Repository, Account]:
        account = account_of(request)
        if account is None:
            raise GitHubSideError(401, "Authentication required")
        full_name = f"{request.match_info['owner']}/{request.match_info['name'].removesuffix('.git')}"
        repository = self._forge.readable(account, full_name)
        if service not in _SERVICES:
            raise GitHubSideError(403, "Please upgrade your git client: only smart HTTP is served")
        if service == "git-receive-pack" and self._forge.permission(account, repository) < Permission.WRITE:
            raise GitHubSideError(403, f"Permission to {repository.full_name}.git denied to {account.login}.")
        return repository, account

    async def _run(
        self, request: web.Request, repository: Repository, account: Account, service: str, lost: bool
    ) -> web.StreamResponse:
        try:
            async with asyncio.timeout(_TIME_LIMIT_SECONDS):
                response = await _backend(request, _environment(request, repository, account), lost)
        except TimeoutError:
            raise GitHubSideError(504, f"git took longer than {_TIME_LIMIT_SECONDS:g} s") from None
        finally:
            if service == "git-receive-pack" and request.method == "POST":
                # Whatever became of the connection, pull requests must follow what was pushed.
                await asyncio.shield(self._pulls.sync(repository))
        if lost:
            return cut(request)
        await response.write_eof()
        return response


def _refusal(error: GitHubSideError) -> web.Response:
    response = web.Response(status=error.status, text=error.message + "\n")
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="GitHub"'
    if error.status == 429:
        response.headers["Retry-After"] = "1"
    return response


def _environment(request: web.Request, repository: Repository, account: Account) -> Mapping[str, str]:
    """The CGI variables; only those that git reads, and nothing else of the request."""
    service_path = "/info/refs" if request.method == "GET" else "/" + request.path.rsplit("/", 1)[-1]
    variables = {
        **CLEAN_ENVIRONMENT,
        "GIT_PROJECT_ROOT": str(repository.path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repository.path.name}{service_path}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string,
        "REMOTE_USER": account.login,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
    }
    passed = {"Content-Encoding": "HTTP_CONTENT_ENCODING", "Git-Protocol": "GIT_PROTOCOL"}
    variables |= {
        name: request.headers[header] for header, name in passed.items() if header in request.headers
    }
    if request.content_length is not None:  # absent for a chunked body, which git then reads to its end
        variables["CONTENT_LENGTH"] = str(request.content_length)
    return variables


async def _backend(request: web.Request, environment: Mapping[str, str], lost: bool) -> web.StreamResponse:
    process = await asyncio.create_subprocess_exec(
        git_program(),
        "http-backend",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    feeding = asyncio.create_task(_feed(request, process.stdin))
    try:
        response = await _head(process.stdout)
        await _stream(request, process.stdout, response, lost)
        await process.wait()
        return response
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        if process.returncode is None:
            kill_group(process)
            await process.wait()


async def _feed(request: web.Request, pipe: asyncio.StreamWriter) -> None:
    """Pass the body on as it comes. A client that goes away leaves a short pack, which git refuses."""
    try:
        async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
            pipe.write(chunk)
            await pipe.drain()
    except (OSError, web.RequestPayloadError):
        pass
    finally:
        pipe.close()
        with contextlib.suppress(OSError):
            await pipe.wait_closed()


async def _head(pipe: asyncio.StreamReader) -> web.StreamResponse:
    try:
        raw = await pipe.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise GitHubSideError(500, "git http-backend gave no answer") from error
    headers = dict(line.split(": ", 1) for line in raw.decode("latin-1").strip().split("\r\n"))
    status = int(headers.pop("Status", "200").split()[0])
    return web.StreamResponse(status=status, headers=headers)


async def _stream(
    request: web.Request, pipe: asyncio.StreamReader, response: web.StreamResponse, lost: bool
) -> None:
    """Send git's answer on. When the client has gone, git may still finish what it does."""
    gone = lost
    if not gone:
        await response.prepare(request)
    while chunk := await pipe.read(_CHUNK_BYTES):
        if not gone:
            try:
                await response.write(chunk)
            except ConnectionError:
                gone = True

"""Users, repositories, commits and files as GitHub's REST API writes them."""

import base64
from typing import Any
from urllib.parse import quote

from bot.playground.github.accounts import Account, Identity, Permission
from bot.playground.github.diffs import FileDiff
from bot.playground.github.forge import Forge
from bot.playground.github.links import repository_links
from bot.playground.github.repository import Commit, Entry, Repository

Json = dict[str, Any]

_ORGANIZATION_ID = 9_000_100
_CREATED = "2025-01-06T09:00:00Z"
_OBJECT_KINDS = {"blob": "file", "tree": "dir", "commit": "submodule"}


def node_id(kind: str, number: int) -> str:
    """An opaque id like GitHub's own older ones."""
    return base64.b64encode(f"0{len(kind)}:{kind}{number}".encode()).decode()


class Shapes:
    """Builds JSON whose every address starts with this side's own (PyGithub refuses any other)."""

    def __init__(self, forge: Forge, web_url: str, api_url: str) -> None:
        self._forge = forge
        self.web = web_url
        self.api = api_url

    # -- accounts

    def user(self, login: str | None) -> Json | None:
        """The short form that appears inside other objects; None for nobody."""
        if login is None:
            return None
        account = self._forge.accounts.by_login(login)
        if account is None:
            return self._owner(login, _ORGANIZATION_ID, "Organization")
        return self._owner(account.login, account.id, "Bot" if account.bot else "User")

    def profile(self, account: Account) -> Json:
        """The full form of `/user` and `/users/LOGIN`."""
        return {
            **self._owner(account.login, account.id, "Bot" if account.bot else "User"),
            "name": account.name,
            "company": None,
            "blog": "",
            "location": None,
            "email": None,  # private, as commit addresses show
            "hireable": None,
            "bio": "A sample account of a local playground.",
            "twitter_username": None,
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": _CREATED,
            "updated_at": _CREATED,
        }

    def organization(self, login: str) -> Json:
        """The owner of the sample repositories, in its full form."""
        return {
            **self._owner(login, _ORGANIZATION_ID, "Organization"),
            "name": login.capitalize(),
            "description": "A sample organization of a local playground.",
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": _CREATED,
            "updated_at": _CREATED,
        }

    def _owner(self, login: str, number: int, kind: str) -> Json:
        url = f"{self.api}/users/{login}"
        return {
            "login": login,
            "id": number,
            "node_id": node_id(kind, number),
            "avatar_url": f"{self.web}/-/avatars/{login}.svg",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.web}/{login}",
            "followers_url": f"{url}/followers",
            "following_url": f"{url}/following{{/other_user}}",
            "gists_url": f"{url}/gists{{/gist_id}}",
            "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
            "subscriptions_url": f"{url}/subscriptions",
            "organizations_url": f"{url}/orgs",
            "repos_url": f"{url}/repos",
            "events_url": f"{url}/events{{/privacy}}",
            "received_events_url": f"{url}/received_events",
            "type": kind,
            "user_view_type": "public",
            "site_admin": False,
        }

    # -- repositories

    def repository_url(self, repository: Repository) -> str:
        return f"{self.api}/repos/{repository.full_name}"

    def html_url(self, repository: Repository) -> str:
        return f"{self.web}/{repository.full_name}"

    async def repository(self, repository: Repository, account: Account | None) -> Json:
        """A repository with what `account` may do to it."""
        row = self._forge.row(repository)
        permission = self._forge.permission(account, repository)
        open_pulls = len(self._forge.store.pulls(repository.full_name, "open"))
        url, html = self.repository_url(repository), self.html_url(repository)
        return {
            "id": 9_100_000 + row.id,
            "node_id": node_id("Repository", 9_100_000 + row.id),
            "name": repository.name,
            "full_name": repository.full_name,
            "private": True,
            "visibility": "private",
            "owner": self.user(repository.owner),
            "html_url": html,
            "description": row.description,
            "fork": False,
            "url": url,
            **repository_links(url),
            "git_url": f"{html}.git",
            "ssh_url": f"{html}.git",
            "clone_url": f"{html}.git",
            "svn_url": html,
            "mirror_url": None,
            "homepage": None,
            "language": row.language,
            "license": None,
            "topics": [],
            "size": 0,
            "stargazers_count": 0,
            "watchers_count": 0,
            "watchers": 0,
            "subscribers_count": 0,
            "network_count": 0,
            "forks_count": 0,
            "forks": 0,
            "open_issues_count": open_pulls,
            "open_issues": open_pulls,
            "default_branch": await repository.default_branch(),
            "archived": False,
            "disabled": False,
            "is_template": False,
            "web_commit_signoff_required": False,
            "allow_forking": False,
            "has_issues": True,
            "has_projects": False,
            "has_wiki": False,
            "has_pages": False,
            "has_downloads": True,
            "has_discussions": False,
            "allow_merge_commit": True,
            "allow_squash_merge": True,
            "allow_rebase_merge": False,
            "allow_auto_merge": False,
            "allow_update_branch": False,
            "delete_branch_on_merge": False,
            "created_at": row.created_at,
            "updated_at": row.pushed_at,
            "pushed_at": row.pushed_at,
            "permissions": {
                "admin": permission >= Permission.ADMIN,
                "maintain": permission >= Permission.ADMIN,
                "push": permission >= Permission.WRITE,
                "triage": permission >= Permission.WRITE,
                "pull": permission >= Permission.READ,
            },
        }

    # -- commits and files

    def commit(self, repository: Repository, commit: Commit) -> Json:
        """A commit of a list: git's facts, and the accounts its addresses belong to."""
        url, html = self.repository_url(repository), self.html_url(repository)
        return {
            "sha": commit.sha,
            "node_id": node_id("Commit", int(commit.sha[:8], 16)),
            "url": f"{url}/commits/{commit.sha}",
            "html_url": f"{html}/commit/{commit.sha}",
            "comments_url": f"{url}/commits/{commit.sha}/comments",
            "commit": {
                **self.git_commit_facts(commit),
                "tree": {"sha": commit.tree, "url": f"{url}/git/trees/{commit.tree}"},
                "url": f"{url}/git/commits/{commit.sha}",
                "comment_count": 0,
            },
            "author": self._user_of(commit.author),
            "committer": self._user_of(commit.committer),
            "parents": [
                {"sha": sha, "url": f"{url}/commits/{sha}", "html_url": f"{html}/commit/{sha}"}
                for sha in commit.parents
            ],
        }

    def git_commit(self, repository: Repository, commit: Commit) -> Json:
        """A commit as `/git/commits/SHA` has it."""
        url, html = self.repository_url(repository), self.html_url(repository)
        return {
            "sha": commit.sha,
            "node_id": node_id("Commit", int(commit.sha[:8], 16)),
            "url": f"{url}/git/commits/{commit.sha}",
            "html_url": f"{html}/commit/{commit.sha}",
            **self.git_commit_facts(commit),
            "tree": {"sha": commit.tree, "url": f"{url}/git/trees/{commit.tree}"},
            "parents": [
                {"sha": sha, "url": f"{url}/git/commits/{sha}", "html_url": f"{html}/commit/{sha}"}
                for sha in commit.parents
            ],
        }

    def git_commit_facts(self, commit: Commit) -> Json:
        author, committer = commit.author, commit.committer
        return {
            "author": {"name": author.name, "email": author.email, "date": commit.authored_at},
            "committer": {"name": committer.name, "email": committer.email, "date": commit.committed_at},
            "message": commit.message,
            "verification": {
                "verified": False,
                "reason": "unsigned",
                "signature": None,
                "payload": None,
                "verified_at": None,
            },
        }

    def _user_of(self, identity: Identity) -> Json | None:
        account = self._forge.accounts.by_email(identity.email)
        return None if account is None else self.user(account.login)

    def file(self, repository: Repository, sha: str, diff: FileDiff) -> Json:
        """A changed file of a commit, comparison or pull request whose new side is `sha`."""
        path = quote(diff.path)
        html = self.html_url(repository)
        shape: Json = {
            "sha": diff.blob,
            "filename": diff.path,
            "status": diff.status,
            "additions": diff.additions,
            "deletions": diff.deletions,
            "changes": diff.additions + diff.deletions,
            "blob_url": f"{html}/blob/{sha}/{path}",
            "raw_url": f"{html}/raw/{sha}/{path}",
            "contents_url": f"{self.repository_url(repository)}/contents/{path}?ref={sha}",
        }
        if diff.patch:
            shape["patch"] = diff.patch
        if diff.previous is not None:
            shape["previous_filename"] = diff.previous
        return shape

    def reference(self, repository: Repository, name: str, sha: str) -> Json:
        """A git reference; `name` is the full one."""
        url = self.repository_url(repository)
        return {
            "ref": name,
            "node_id": node_id("Ref", int(sha[:8], 16)),
            "url": f"{url}/git/{quote(name)}",
            "object": {"sha": sha, "type": "commit", "url": f"{url}/git/commits/{sha}"},
        }

    def entry(self, repository: Repository, entry: Entry, ref: str) -> Json:
        """A file or folder as the contents API lists it, without its content."""
        url, html = self.repository_url(repository), self.html_url(repository)
        path, kind = quote(entry.path), _OBJECT_KINDS[entry.kind]
        self_url = f"{url}/contents/{path}?ref={quote(ref)}"
        git_url = f"{url}/git/{'trees' if kind == 'dir' else 'blobs'}/{entry.sha}"
        page = f"{html}/{'tree' if kind == 'dir' else 'blob'}/{quote(ref)}/{path}"
        return {
            "name": entry.name,
            "path": entry.path,
            "sha": entry.sha,
            "size": entry.size,
            "url": self_url,
            "html_url": page,
            "git_url": git_url,
            "download_url": f"{html}/raw/{quote(ref)}/{path}" if kind == "file" else None,
            "type": kind,
            "_links": {"self": self_url, "git": git_url, "html": page},
        }

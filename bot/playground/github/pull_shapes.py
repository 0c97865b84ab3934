"""Pull requests, reviews and comments as GitHub's REST API writes them."""

from typing import Any
from zlib import crc32

from bot.playground.github.accounts import Account, Permission
from bot.playground.github.forge import Forge
from bot.playground.github.pulls import Facts
from bot.playground.github.repository import Repository
from bot.playground.github.shapes import Json, Shapes, node_id
from bot.playground.github.store import Comment, Pull, Review

# Ids of different kinds must not look alike, so that mixing them up shows.
_PULL_IDS, _ISSUE_IDS, _REVIEW_IDS, COMMENT_IDS = 1_000_000, 2_000_000, 3_000_000, 4_000_000


class PullShapes:
    """Like Shapes, for everything around a pull request."""

    def __init__(self, forge: Forge, shapes: Shapes) -> None:
        self._forge = forge
        self._shapes = shapes

    def url(self, repository: Repository, pull: Pull) -> str:
        return f"{self._shapes.repository_url(repository)}/pulls/{pull.number}"

    def page(self, repository: Repository, pull: Pull) -> str:
        return f"{self._shapes.html_url(repository)}/pull/{pull.number}"

    async def brief(self, repository: Repository, pull: Pull, viewer: Account | None) -> Json:
        """A pull request of a list."""
        url, page = self.url(repository, pull), self.page(repository, pull)
        issue = f"{self._shapes.repository_url(repository)}/issues/{pull.number}"
        statuses = f"{self._shapes.repository_url(repository)}/statuses/{pull.head_sha}"
        number = _PULL_IDS + pull.id
        links = {
            "self": url,
            "html": page,
            "issue": issue,
            "comments": f"{issue}/comments",
            "review_comments": f"{url}/comments",
            "review_comment": f"{self._shapes.repository_url(repository)}/pulls/comments{{/number}}",
            "commits": f"{url}/commits",
            "statuses": statuses,
        }
        return {
            "id": number,
            "node_id": node_id("PullRequest", number),
            "url": url,
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "issue_url": issue,
            "commits_url": links["commits"],
            "review_comments_url": links["review_comments"],
            "review_comment_url": links["review_comment"],
            "comments_url": links["comments"],
            "statuses_url": statuses,
            "number": pull.number,
            "state": pull.state,
            "locked": False,
            "active_lock_reason": None,
            "title": pull.title,
            "user": self._shapes.user(pull.author),
            "body": pull.body,
            "labels": [self.label(repository, name) for name in pull.labels],
            "milestone": None,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [self._shapes.user(login) for login in pull.reviewers],
            "requested_teams": [],
            "created_at": pull.created_at,
            "updated_at": pull.updated_at,
            "closed_at": pull.closed_at,
            "merged_at": pull.merged_at,
            "merge_commit_sha": pull.merge_sha,
            "draft": bool(pull.draft),
            "head": await self._side(repository, pull.head, pull.head_sha, viewer),
            "base": await self._side(repository, pull.base, pull.base_sha, viewer),
            "_links": {name: {"href": href} for name, href in links.items()},
            "author_association": self._association(repository, pull.author),
            "auto_merge": None,
        }

    async def full(self, repository: Repository, pull: Pull, facts: Facts, viewer: Account | None) -> Json:
        """A single pull request, with what git says of it."""
        return {
            **await self.brief(repository, pull, viewer),
            "merged": pull.merged,
            "merged_by": self._shapes.user(pull.merged_by),
            "mergeable": facts.mergeable,
            "rebaseable": None if facts.mergeable is None else False,
            "mergeable_state": _mergeable_state(pull, facts),
            "comments": len(self._forge.store.comments(pull)),
            "review_comments": 0,
            "maintainer_can_modify": False,
            "commits": facts.commits,
            "additions": facts.additions,
            "deletions": facts.deletions,
            "changed_files": facts.changed_files,
        }

    async def _side(self, repository: Repository, branch: str, sha: str, viewer: Account | None) -> Json:
        return {
            "label": f"{repository.owner}:{branch}",
            "ref": branch,
            "sha": sha,
            "user": self._shapes.user(repository.owner),
            "repo": await self._shapes.repository(repository, viewer),
        }

    def issue(self, repository: Repository, pull: Pull) -> Json:
        """The issue that every pull request also is."""
        url = f"{self._shapes.repository_url(repository)}/issues/{pull.number}"
        page, number = self.page(repository, pull), _ISSUE_IDS + pull.id
        return {
            "id": number,
            "node_id": node_id("Issue", number),
            "url": url,
            "repository_url": self._shapes.repository_url(repository),
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "timeline_url": f"{url}/timeline",
            "html_url": page,
            "number": pull.number,
            "state": pull.state,
            "state_reason": None,
            "title": pull.title,
            "body": pull.body,
            "user": self._shapes.user(pull.author),
            "labels": [self.label(repository, name) for name in pull.labels],
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "locked": False,
            "active_lock_reason": None,
            "comments": len(self._forge.store.comments(pull)),
            "pull_request": {
                "url": self.url(repository, pull),
                "html_url": page,
                "diff_url": f"{page}.diff",
                "patch_url": f"{page}.patch",
                "merged_at": pull.merged_at,
            },
            "closed_by": self._shapes.user(pull.closed_by),
            "created_at": pull.created_at,
            "updated_at": pull.updated_at,
            "closed_at": pull.closed_at,
            "author_association": self._association(repository, pull.author),
        }

    def review(self, repository: Repository, pull: Pull, review: Review) -> Json:
        number = _REVIEW_IDS + review.id
        page = f"{self.page(repository, pull)}#pullrequestreview-{number}"
        return {
            "id": number,
            "node_id": node_id("PullRequestReview", number),
            "user": self._shapes.user(review.author),
            "body": review.body,
            "state": review.state,
            "html_url": page,
            "pull_request_url": self.url(repository, pull),
            "_links": {"html": {"href": page}, "pull_request": {"href": self.url(repository, pull)}},
            "submitted_at": review.submitted_at,
            "commit_id": review.sha,
            "author_association": self._association(repository, review.author),
        }

    def comment(self, repository: Repository, pull: Pull, comment: Comment) -> Json:
        number = COMMENT_IDS + comment.id
        url = self._shapes.repository_url(repository)
        return {
            "id": number,
            "node_id": node_id("IssueComment", number),
            "url": f"{url}/issues/comments/{number}",
            "html_url": f"{self.page(repository, pull)}#issuecomment-{number}",
            "issue_url": f"{url}/issues/{pull.number}",
            "user": self._shapes.user(comment.author),
            "body": comment.body,
            "created_at": comment.created_at,
            "updated_at": comment.updated_at,
            "author_association": self._association(repository, comment.author),
        }

    def label(self, repository: Repository, name: str) -> dict[str, Any]:
        number = crc32(name.encode())
        return {
            "id": number,
            "node_id": node_id("Label", number),
            "url": f"{self._shapes.repository_url(repository)}/labels/{name}",
            "name": name,
            "description": None,
            "color": "ededed",
            "default": False,
        }

    def _association(self, repository: Repository, login: str) -> str:
        account = self._forge.accounts.by_login(login)
        return "MEMBER" if self._forge.permission(account, repository) > Permission.NONE else "NONE"


def _mergeable_state(pull: Pull, facts: Facts) -> str:
    if facts.mergeable is None:
        return "unknown"
    if not facts.mergeable:
        return "dirty"
    return "draft" if pull.draft else "clean"

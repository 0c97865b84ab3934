"""The one error of the GitHub side, and GitHub's own wordings of it."""

from collections.abc import Sequence


class GitHubSideError(Exception):
    """A request that GitHub would refuse: HTTP `status`, its `message`, and GitHub's `errors` list."""

    def __init__(self, status: int, message: str, errors: Sequence[object] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = None if errors is None else list(errors)

    @property
    def detail(self) -> str:
        """The message with every detail in it, for people."""
        return "; ".join([self.message, *map(_detail, self.errors if self.errors is not None else [])])


def _detail(error: object) -> str:
    if not isinstance(error, dict):
        return str(error)
    fields = " ".join(str(error[key]) for key in ("field", "code") if key in error)
    return str(error.get("message", fields))


def not_found() -> GitHubSideError:
    """What GitHub says of everything that is not there or not to be seen."""
    return GitHubSideError(404, "Not Found")


def forbidden() -> GitHubSideError:
    """The account sees the repository, but may not do this to it."""
    return GitHubSideError(403, "Resource not accessible by personal access token")


def invalid(resource: str, field: str, code: str = "invalid") -> GitHubSideError:
    """422 that names a field; `code` is GitHub's (invalid, missing_field, ...)."""
    return GitHubSideError(422, "Validation Failed", [{"resource": resource, "field": field, "code": code}])


def refused(resource: str, message: str) -> GitHubSideError:
    """422 with a sentence of its own."""
    return GitHubSideError(
        422, "Validation Failed", [{"resource": resource, "code": "custom", "message": message}]
    )

"""A GitHub on loopback: REST, git over HTTP and pages over real bare repositories."""

from bot.playground.github.accounts import Account, Permission
from bot.playground.github.errors import GitHubSideError
from bot.playground.github.side import GitHubSide

__all__ = ["Account", "GitHubSide", "GitHubSideError", "Permission"]

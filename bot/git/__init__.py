"""Git on the host, the only one: mirror, bundles, quarantine, the one commit per turn, push."""

from bot.git.command import Git
from bot.git.commit import commit_turn, diff, file_changes, tree_changes
from bot.git.failures import FailureKind, GitFailure, Refused, scrub
from bot.git.inspection import Policy
from bot.git.mirror import BASE_REF, Mirror, Mirrors
from bot.git.push import BRANCH_PREFIX, branch_name, push
from bot.git.quarantine import TURN_REF, Collected, QuarantineLimits, collect

__all__ = [
    "BASE_REF",
    "BRANCH_PREFIX",
    "TURN_REF",
    "Collected",
    "FailureKind",
    "Git",
    "GitFailure",
    "Mirror",
    "Mirrors",
    "Policy",
    "QuarantineLimits",
    "Refused",
    "branch_name",
    "collect",
    "commit_turn",
    "diff",
    "file_changes",
    "push",
    "scrub",
    "tree_changes",
]

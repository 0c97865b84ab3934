"""Git inside the sandbox: command lines for its `exec`. Nothing here runs on the host.

What they print is the sandbox's word. Even a hostile one can do no more than hand out a strange bundle,
which is what quarantine.py is for. The scripts are POSIX shell and git (2.30 or newer), fixed texts with
their values as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain import CommitSha
from bot.errors import GitError
from bot.git.mirror import BASE_REF, checked_sha
from bot.git.quarantine import TURN_REF

# Settings that an agent may have broken in its repository, put right for these commands only.
_COMMON = r"""
set -eu
umask 022
export LC_ALL=C GIT_NO_REPLACE_OBJECTS=1 GIT_TERMINAL_PROMPT=0
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
unset GIT_CONFIG_PARAMETERS GIT_CONFIG_COUNT
ws=$1
g() {
  git --git-dir="$repo" --work-tree="$ws" -c safe.directory='*' -c protocol.file.allow=always \
    -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.untrackedCache=false \
    -c core.splitIndex=false -c core.bare=false -c core.fileMode=true -c core.symlinks=true \
    -c core.ignoreCase=false -c core.autocrlf=false -c core.sparseCheckout=false \
    -c core.excludesFile="$ws/.git/info/exclude" -c gc.auto=0 -c maintenance.auto=false \
    -c advice.addEmbeddedRepo=false -c commit.gpgSign=false \
    -c user.name=sandbox -c user.email=sandbox@localhost "$@"
}
# Reads the bundle on stdin (empty: nothing to do) into the ref $1. What came stays reachable under `seen`,
# since git takes a later bundle only on top of commits that some ref still reaches. Its index is one of its
# own, since fetch reads the index and the workspace's may be broken.
take() {
  cat > "$tmp/bundle"
  [ -s "$tmp/bundle" ] || return 0
  (export GIT_INDEX_FILE="$tmp/none"; g fetch --quiet --no-tags --no-write-fetch-head "$tmp/bundle" "+$1:$1")
  g update-ref "refs/threadsmith/seen/$(g rev-parse "$1")" "$1"
}
repo=$ws/.git
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"""

_CLONE = r"""
mkdir -p "$ws"
rm -rf "$repo"
git init --quiet "$ws"
take "$2"
g symbolic-ref HEAD refs/heads/work
g reset --quiet --hard "$2"
g update-ref refs/threadsmith/at "$2"
g config user.name sandbox
g config user.email sandbox@localhost
g config gc.auto 0
g remote remove origin 2>/dev/null || true
"""

# Output: the state, then the paths in conflict, each ended by NUL. `at` is where the host last put the
# workspace: what differs from it is work, the agent's own commits too, unless the host made `last` of it.
_SYNC = r"""
target=$3 last=$4
take "$2"
rm -rf "$repo/index.lock" "$repo/HEAD.lock" "$repo/rebase-merge" "$repo/rebase-apply"
at=$(g rev-parse --verify --quiet refs/threadsmith/at || printf %s "$target")
start=$at
if [ -n "$last" ] && [ "$(g rev-parse --verify --quiet "$last^" || true)" = "$at" ]; then start=$last; fi
g symbolic-ref HEAD refs/heads/work
g reset --quiet --mixed "$start" >/dev/null 2>&1 || {
  rm -f "$repo/index"
  g reset --quiet --mixed "$start" >/dev/null
}
arrived() { g update-ref refs/threadsmith/at "$target"; printf '%s\0' "$1"; }
if [ "$start" = "$target" ]; then arrived same; exit 0; fi
if [ -z "$(g status --porcelain --untracked-files=all | head -c 1)" ]; then
  g reset --quiet --hard "$target"; arrived moved; exit 0
fi
g stash push --quiet --include-untracked
g reset --quiet --hard "$target"
if g stash pop --quiet >/dev/null 2>&1; then arrived kept; exit 0; fi
arrived conflicts
g diff --name-only -z --diff-filter=U
# New files of the agent's where the target has one too: theirs is in place, the agent's stays in the stash.
g diff --name-only -z --no-renames --diff-filter=M HEAD 'stash@{0}^3' 2>/dev/null || true
"""

_RESTORE = r"""
take "$2"
g read-tree --reset -u "$2"
g reset --quiet --mixed HEAD >/dev/null
"""

_COLLECT = r"""
base=$3 name=$4
if [ "$5" = afresh ]; then
  export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
  repo=$tmp/repo.git
  git init --quiet --bare "$repo"
  take "$2"
fi
export GIT_INDEX_FILE="$tmp/index"
g read-tree "$base"
g add --all -- .
tree=$(g write-tree)
export GIT_AUTHOR_DATE='@0 +0000' GIT_COMMITTER_DATE='@0 +0000'
commit=$(g commit-tree "$tree" -p "$base" -m turn)
g update-ref "$name" "$commit"
g bundle create --quiet "$tmp/out" "$name" "^$base"
cat "$tmp/out"
"""


def _script(text: str, *args: str) -> list[str]:
    return ["/bin/sh", "-c", _COMMON + text, "sh", *args]


def clone(workspace: str) -> list[str]:
    """Make the workspace from a whole bundle on stdin: branch `work`, no remote, neutral identity."""
    return _script(_CLONE, workspace, BASE_REF)


def sync(workspace: str, target: CommitSha, last: CommitSha | None) -> list[str]:
    """Move the workspace to `target`, from a bundle on stdin (empty: it is there), keeping uncommitted work.

    `last` is the commit that the host last made of this session's work: made of this workspace since the last
    sync, what it holds counts as committed; otherwise it changes nothing. The output is read by `parse_sync`.
    """
    return _script(_SYNC, workspace, BASE_REF, checked_sha(target), "" if last is None else checked_sha(last))


def restore(workspace: str) -> list[str]:
    """Put a turn's files back, uncommitted, from the bundle that `collect` had made on the same base."""
    return _script(_RESTORE, workspace, TURN_REF)


def collect(workspace: str, base: CommitSha) -> list[str]:
    """Write all the workspace holds, ignored files aside, as a bundle on top of `base` to stdout.

    It uses an index of its own, so the agent's index, branch and commits do not matter.
    """
    return _script(_COLLECT, workspace, BASE_REF, checked_sha(base), TURN_REF, "here")


def collect_afresh(workspace: str, base: CommitSha) -> list[str]:
    """As `collect`, for a workspace whose `.git` is broken or gone; a whole bundle of `base` on stdin."""
    return _script(_COLLECT, workspace, BASE_REF, checked_sha(base), TURN_REF, "afresh")


@dataclass(frozen=True, slots=True)
class Synced:
    """How a sync ended: same | moved | kept (uncommitted work carried over) | conflicts (in these paths)."""

    state: str
    conflicts: Sequence[str] = ()


def parse_sync(output: bytes) -> Synced:
    """The output of `sync`; at most 100 paths of it. GitError when it is something else."""
    state, *paths = output.decode("utf-8", "replace").split("\0")
    if state not in ("same", "moved", "kept", "conflicts"):
        raise GitError("The sandbox could not be brought to the current commit: it gave no clear answer.")
    return Synced(state, tuple(dict.fromkeys(path[:300] for path in paths if path))[:100])

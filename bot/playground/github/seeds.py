"""The sample repositories as git history.

`samples/history.json` lists the commits; the folders beside it hold the files as they are in the end.
An earlier state is the final one with later edits taken back, so the final files stay plain to read.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.playground.github.accounts import Accounts, Identity
from bot.playground.github.forge import Seed
from bot.playground.github.writing import Change, Signed, commit_stream

SAMPLES = Path(__file__).parent.parent / "samples"


def sample_seeds(accounts: Accounts) -> list[Seed]:
    """All sample repositories. Dates are fixed, so the same people always give the same commit ids."""
    histories = json.loads((SAMPLES / "history.json").read_text("utf-8"))
    return [_seed(history, accounts) for history in histories]


def _seed(history: dict[str, Any], accounts: Accounts) -> Seed:
    commits, folder = history["commits"], SAMPLES / history["folder"]
    parts = []
    for commit, changes in zip(commits, _changes(folder, commits), strict=True):
        # fast-import continues the branch by itself; only its first commit has no parent.
        signed = Signed(_identity(commit["author"], accounts), _raw_time(commit["at"]))
        parts.append(
            commit_stream("refs/heads/main", [], changes, commit["message"] + "\n", signed, signed, {})
        )
    return Seed(
        full_name=history["repository"],
        description=history["description"],
        language=history["language"],
        created_at=commits[0]["at"],
        pushed_at=commits[-1]["at"],
        stream=b"".join(parts),
    )


def _changes(folder: Path, commits: list[dict[str, Any]]) -> list[list[Change]]:
    """What each commit writes, found by walking back from the final files."""
    paths = [path for commit in commits for path in commit.get("adds", [])]
    files = {path: (folder / path).read_text("utf-8") for path in paths}
    steps = []
    for commit in reversed(commits):
        edits = commit.get("edits", [])
        touched = dict.fromkeys([*commit.get("adds", []), *(edit["path"] for edit in edits)])
        steps.append([Change(path, files[path].encode()) for path in touched])
        for edit in reversed(edits):
            files[edit["path"]] = _taken_back(files[edit["path"]], edit)
    return steps[::-1]


def _taken_back(text: str, edit: dict[str, str]) -> str:
    if text.count(edit["new"]) != 1:
        raise ValueError(f"samples/history.json: {edit['path']} must hold this exactly once: {edit['new']!r}")
    return text.replace(edit["new"], edit["old"])


def _identity(login: str, accounts: Accounts) -> Identity:
    account = accounts.by_login(login)
    if account is not None:
        return account.identity
    return Identity(login.replace("-", " ").title(), f"{login}@users.noreply.github.com")


def _raw_time(at: str) -> str:
    return f"{int(datetime.fromisoformat(at).timestamp())} +0000"

"""The sample repositories: real history, passing tests, the same commits everywhere."""

import shutil
import subprocess
from pathlib import Path

import pytest
from test_playground_github_kit import ADA, running

from bot.playground.github.seeds import SAMPLES


@pytest.mark.parametrize(
    ("repository", "command"),
    [("storefront", ["node", "--test"]), ("ledger", ["python3", "-B", "-m", "unittest"])],
)
async def test_the_samples_pass_their_own_tests_at_every_commit(
    tmp_path: Path, repository: str, command: list[str]
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    async with running(tmp_path / "data") as local:
        clone = tmp_path / "clone"
        await local.git("clone", "-q", local.clone_url(ADA, f"acme/{repository}"), clone)
        for sha in (await local.git("-C", clone, "rev-list", "HEAD")).split():
            await local.git("-C", clone, "checkout", "-q", sha)
            done = subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{sha}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("repository", ["storefront", "ledger"])
async def test_the_last_commit_is_exactly_the_folder(tmp_path: Path, repository: str) -> None:
    async with running(tmp_path / "data") as local:
        clone = tmp_path / "clone"
        await local.git("clone", "-q", local.clone_url(ADA, f"acme/{repository}"), clone)
    shutil.rmtree(clone / ".git")

    def files(folder: Path) -> dict[str, bytes]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    assert files(clone) == files(SAMPLES / repository)


async def test_every_playground_starts_with_the_same_commits(tmp_path: Path) -> None:
    heads = []
    for name in ("one", "two"):
        async with running(tmp_path / name) as local:
            heads.append(await local.repo(ADA, lambda repo: repo.get_branch("main").commit.sha))
    assert heads[0] == heads[1]


async def test_a_second_start_leaves_the_repositories_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as local:
        sha = await local.branch("kept")
    async with running(tmp_path) as local:
        assert await local.repo(ADA, lambda repo: repo.get_branch("kept").commit.sha) == sha
        assert local.side.repositories() == ["acme/storefront", "acme/ledger"]

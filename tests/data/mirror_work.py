"""A mirror at work on the real git code, each git recorded as well; says what a later start must still have.

    python mirror_work.py FOLDER GIT

GIT is run in place of git. A line says `planned COMMIT` where the intent of its push would be on the disk,
`kept BASE` where the thread is told that work was kept.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from git_kit import ADA, REPOSITORY, SESSION, once, world

from bot.git import Git, Mirrors, Policy, QuarantineLimits, branch_name, push
from bot.sessions.kept import Kept


def tell(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


async def main(folder: Path, program: str) -> None:
    async with world(folder) as w:
        w.mirrors = Mirrors(folder / "mirrors", git=Git(program=program))
        w.mirrors.sweep()
        w.mirror = w.mirrors.of(REPOSITORY)
        base, head = await w.base(), None
        kept = Kept(folder / "mirrors" / "kept", SESSION, REPOSITORY)  # within what is recorded
        for number in range(2):
            workspace = await w.workspace(base, f"workspace{number}")
            workspace.write(f"{number}.txt", str(number))
            await kept.save(w.mirror, once(await workspace.collect(base)), base, Policy(), QuarantineLimits())
            tell("kept", base)
            commit = await w.turn(workspace, base)
            tell("planned", commit)
            branch = branch_name(SESSION, "Change it", 1)
            await push(w.mirror, w.access(ADA), commit, branch, expected=head)
            await w.commit("main", **{f"other{number}": "x"})
            await w.base()
            tell("planned", commit)
            base, head = commit, commit


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

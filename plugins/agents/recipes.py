"""How the agents we bring are started inside a sandbox."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bot import AgentRecipe

SCRIPTED = "scripted"

_HERE = Path(__file__).parent / "scripted"
_FOLDER = ".threadsmith"
_START = b"from scripted.agent import main\n\nmain()\n"
# -E and -s: neither the environment nor a home can slip in modules; the repository is not on the path at all.
_COMMAND = f'exec python3 -E -s -B "$HOME/{_FOLDER}/scripted_agent.py"'


@cache
def scripted_recipe() -> AgentRecipe:
    """The scripted agent: its sources are copied in, so it needs nothing of an image but Python 3.9."""
    files = {f"{_FOLDER}/scripted/{path.name}": path.read_bytes() for path in sorted(_HERE.glob("*.py"))}
    return AgentRecipe(
        name=SCRIPTED,
        description="Does the few things it understands, word for word. It is not a model.",
        command=("sh", "-c", _COMMAND),
        files={f"{_FOLDER}/scripted_agent.py": _START} | files,
    )

"""What can be configured in `[sandbox_runner]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bot import Limits, Section

Folder = Annotated[str, StringConstraints(pattern=r"^/.+")]


class Settings(Section):
    """Where sandboxes are made, and the bounds of each."""

    provider: Literal["local"] = Field("local", description="What makes sandboxes.")
    memory_mib: int = Field(4096, ge=64, description="Memory of one sandbox, its /tmp included.")
    cores: float = Field(2.0, ge=0.1, description="Processors one sandbox may keep busy.")
    disk_mib: int = Field(10240, ge=16, description="What one sandbox may write below /workspace and home.")
    processes: int = Field(512, ge=16, description="Processes and threads alive in one sandbox at a time.")
    wall_seconds: int = Field(4 * 3600, ge=1, description="The longest life of one sandbox.")
    sandbox_user: int = Field(
        64100, ge=1000, description="First of the user ids sandboxes run as when the bot is root."
    )
    sandbox_users: int = Field(
        256, ge=1, le=10000, description="How many such user ids; each running sandbox holds one."
    )
    cgroup: str = Field(
        "threadsmith",
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="The control group, from the root of the hierarchy, below which sandboxes are bounded.",
    )
    read_only: list[Folder] = Field(
        [], description="Further host folders, such as toolchains in /opt, that sandboxes may read."
    )

    @property
    def limits(self) -> Limits:
        """The bounds of each sandbox."""
        return Limits(self.memory_mib, self.cores, self.disk_mib, self.processes, self.wall_seconds)

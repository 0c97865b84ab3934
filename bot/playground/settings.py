"""What a playground needs to be told: where to keep its state, which ports, and which secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class PlaygroundSettings:
    """Everything the caller decides; nothing is read from the environment.

    `data` is the folder under which `playground/` is made. Port 0 means any free port; the real one is
    readable after the start. The secrets are made and kept by the caller, so that they outlive a restart.
    `pages_token` opens the code host's pages, which nobody sees without one. `secret_prefix` begins what is
    made while it runs. `github_tokens` holds one token per login, the bot's account included. `bot_url` is
    where the running bot answers `/ready`; without it, idle is judged from the Slack side alone.
    """

    data: Path
    slack_port: int = 0
    github_port: int = 0
    control_token: str = field(default="", repr=False)
    bot_token: str = field(default="", repr=False)
    app_token: str = field(default="", repr=False)
    signing_secret: str = field(default="", repr=False)
    pages_token: str = field(default="", repr=False)
    secret_prefix: str = ""
    github_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    bot_url: str | None = None

    @property
    def folder(self) -> Path:
        """The playground's own folder."""
        return self.data / "playground"

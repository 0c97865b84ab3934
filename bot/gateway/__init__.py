"""The only way out of a sandbox: where it may go, with which key, for how much. Our own model calls too."""

from bot.gateway.gateway import Gateway
from bot.gateway.words import Budget, Denial, Usage, Watcher

__all__ = ["Budget", "Denial", "Gateway", "Usage", "Watcher"]

"""A session's life: accepted prompts, one turn at a time, and what is owed after a crash."""

from bot.sessions.incoming import Incoming
from bot.sessions.observers import Observers
from bot.sessions.questions import Reply, take_reply
from bot.sessions.router import OWED, Sessions

__all__ = ["OWED", "Incoming", "Observers", "Reply", "Sessions", "take_reply"]

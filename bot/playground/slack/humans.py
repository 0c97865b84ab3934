"""What people do in the workspace, by the control API or with a mouse."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from copy import deepcopy

from bot.playground import people
from bot.playground.slack import blocks, events, interactions, richtext
from bot.playground.slack.errors import ControlError
from bot.playground.slack.files import described, new_file
from bot.playground.slack.messages import Json, Message
from bot.playground.slack.reactions import emoji_name
from bot.playground.slack.workspace import Workspace

MAX_TEXT = 40_000
Given = tuple[str, bytes, str | None]  # a file's name, its content, and the type it is said to be of
_COMMAND = re.compile(r"/[a-z0-9_-]{1,32}")


class Humans:
    """Every action takes the id of the person who does it; ControlError says why it cannot be done."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def say(
        self, channel: str, user: str, text: str, thread_ts: str | None, given: Sequence[Given] = ()
    ) -> Message:
        """Post a message, in a thread if `thread_ts` names one; with files it may have no text."""
        self._in_channel(channel, user)
        raw = _raw(text) if text or not given else ""
        root = self._seen(channel, thread_ts, user).root_ts if thread_ts else None
        message = Message(
            channel=channel,
            ts=self._workspace.clock.ts(),
            user=user,
            text=raw,
            thread_ts=root,
            blocks=[richtext.rich_text(raw, blocks.new_id())] if raw else None,
            client_msg_id=str(uuid.uuid4()),
        )
        with self._workspace.store.transaction():
            if given:
                self._attach(message, given)
            return self._workspace.post(message)

    def _attach(self, message: Message, given: Sequence[Given]) -> None:
        message.subtype, message.files = "file_share", []
        for name, content, mimetype in given:
            file = new_file(message.user, name, len(content), mimetype)
            file.shares.append([message.channel, message.ts, message.thread_ts or ""])
            self._workspace.files.add(file, content)
            message.files.append(described(file, self._workspace.base_url))

    def edit(self, channel: str, ts: str, user: str, text: str) -> None:
        """Change one's own message."""
        message = self._own(channel, ts, user)
        message.text = _raw(text) if text or not message.files else ""
        message.blocks = [richtext.rich_text(message.text, blocks.new_id())]
        self._workspace.edit(message, user)

    def delete(self, channel: str, ts: str, user: str) -> None:
        """Take one's own message away."""
        self._workspace.delete(self._own(channel, ts, user))

    def react(self, channel: str, ts: str, user: str, name: str, *, remove: bool) -> None:
        """Add or take back a reaction; doing it twice is no error, as with a mouse."""
        emoji = emoji_name(name)
        if emoji is None:
            raise ControlError(400, f"{name!r} is not the name of an emoji")
        self._workspace.react(self._seen(channel, ts, user), user, emoji, remove=remove)

    def click(self, channel: str, ts: str, user: str, action_id: str, value: str | None) -> None:
        """Press a button, or pick the option with this value."""
        message = self._seen(channel, ts, user)
        person = people.PEOPLE[user]
        with self._workspace.store.transaction():
            payload = interactions.clicked(self._workspace, message, person, action_id, value)
            self._workspace.deliver("interactive", "block_actions", payload)

    def command(self, channel: str, user: str, command: str, text: str) -> None:
        """Give a slash command."""
        place = self._in_channel(channel, user)
        if not _COMMAND.fullmatch(command):
            raise ControlError(400, f"a command looks like /name, got {command!r}")
        with self._workspace.store.transaction():
            payload = interactions.commanded(self._workspace, place, people.PEOPLE[user], command, text)
            self._workspace.deliver("slash_commands", command, payload)

    def stop(self, channel: str, thread_ts: str, user: str) -> None:
        """Press Stop on an agent session at work. Its streams end here; its status is the bot's to change."""
        self._in_channel(channel, user)
        status = self._workspace.status(channel, thread_ts)
        if status is None or status["status"] != "processing":
            raise ControlError(409, f"thread {thread_ts} has no agent session at work, so no Stop button")
        with self._workspace.store.transaction():
            stopped = [self._end(message) for message in self._streams(channel, thread_ts)]
            now = self._workspace.clock.ts()
            event = events.session_stopped(channel, thread_ts, user, stopped, now)
            self._workspace.emit(event, channel)

    def _streams(self, channel: str, thread_ts: str) -> list[Message]:
        return [
            message for message in self._workspace.messages.thread(channel, thread_ts) if message.streaming
        ]

    def _end(self, message: Message) -> str:
        previous = deepcopy(message)
        assert message.stream is not None
        message.stream.state = "stopped"
        self._workspace.change(message, previous)
        return message.ts

    def _in_channel(self, channel: str, user: str) -> people.Channel:
        place = people.CHANNELS.get(channel)
        if place is None:
            raise ControlError(404, f"no channel {channel!r}; /control/state lists them")
        if user not in people.PEOPLE or people.PEOPLE[user].is_bot:
            raise ControlError(404, f"no person {user!r}; /control/state lists them")
        if not self._workspace.is_member(channel, user):
            raise ControlError(403, f"{people.PEOPLE[user].name} is not in that channel")
        return place

    def _seen(self, channel: str, ts: str, user: str) -> Message:
        self._in_channel(channel, user)
        message = self._workspace.messages.get(channel, ts)
        if message is None or message.deleted or message.ephemeral_to not in (None, user):
            raise ControlError(404, f"{people.PEOPLE[user].name} sees no message {ts!r} in that channel")
        return message

    def _own(self, channel: str, ts: str, user: str) -> Message:
        message = self._seen(channel, ts, user)
        if message.user != user:
            raise ControlError(403, f"message {ts} is not by {people.PEOPLE[user].name}")
        return message


def _raw(text: str) -> str:
    if not text.strip():
        raise ControlError(400, "text is empty")
    if len(text) > MAX_TEXT:
        raise ControlError(400, f"text is longer than {MAX_TEXT} characters")
    return richtext.raw_form(text, _user_id)


def _user_id(name: str) -> str | None:
    person = people.person_named(name)
    return person.id if person else None


def reply_to(workspace: Workspace, kind: str, payload: Json, reply: Json) -> None:
    """What an acknowledgement carried: for a slash command, its answer; for a click, nothing is shown."""
    if kind == "slash_commands" and (reply.get("text") or reply.get("blocks")):
        interactions.answer(workspace, payload["channel_id"], payload["user_id"], None, None, reply)


def unanswered(workspace: Workspace, kind: str, payload: Json) -> None:
    """Tell who gave a command that no listener took it, as Slackbot would; of a click nothing is shown."""
    if kind == "slash_commands":
        text = f"{payload['command']} failed: nobody answered it (operation_timeout)"
        interactions.answer(workspace, payload["channel_id"], payload["user_id"], None, None, {"text": text})

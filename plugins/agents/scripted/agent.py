"""Speaks the Agent Client Protocol over stdio: reads requests, works on one prompt at a time."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import report
from .turn import Turn
from .words import NotUnderstood, understand

VERSION = 1
CHUNK = 120  # characters of a spoken chunk

INVALID_REQUEST, NOT_FOUND, INVALID_PARAMS = -32600, -32601, -32602


class Refused(Exception):
    """A request is answered with this error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Wire:
    """Writes whole lines, from whichever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        try:
            with self._lock:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
        except OSError:
            os._exit(0)  # nobody listens any more

    def update(self, session: str, update: dict[str, Any]) -> None:
        self.send({"method": "session/update", "params": {"sessionId": session, "update": update}})

    def say(self, session: str, text: str) -> None:
        for chunk in _chunks(text):
            content = {"type": "text", "text": chunk}
            self.update(session, {"sessionUpdate": "agent_message_chunk", "content": content})


@dataclass
class Job:
    """A prompt that waits or runs; `stop` is set by session/cancel."""

    id: Any
    session: str
    text: str
    stop: threading.Event = field(default_factory=threading.Event)


class Agent:
    """The main thread reads, a second one works, so that a cancel is heard at once."""

    def __init__(self) -> None:
        self._wire = Wire()
        self._folders: dict[str, str] = {}
        self._jobs: queue.Queue[Job] = queue.Queue()
        self._open: list[Job] = []

    def serve(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()
        for line in sys.stdin.buffer:
            message = _parsed(line)
            if message is not None:
                self._handle(message)
        self._cancel(None)
        self._jobs.join()

    def _handle(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params")
        params = params if isinstance(params, dict) else {}
        if "id" not in message:
            if method == "session/cancel":
                self._cancel(params.get("sessionId"))
            return
        try:
            result = self._answer(message["id"], method, params)
        except Refused as error:
            self._wire.send({"id": message["id"], "error": {"code": error.code, "message": str(error)}})
            return
        if result is not None:
            self._wire.send({"id": message["id"], "result": result})

    def _answer(self, request_id: Any, method: Any, params: dict[str, Any]) -> dict[str, Any] | None:
        """The result at once, or None for a prompt, which is answered when its turn has ended."""
        if method == "initialize":
            return _hello()
        if method == "session/new":
            return {"sessionId": self._remember(f"scripted-{uuid.uuid4().hex}", params)}
        if method == "session/load":
            self._remember(_session(params), params)
            return {}
        if method == "session/prompt":
            self._accept(Job(request_id, self._known(params), _request_text(params)))
            return None
        raise Refused(NOT_FOUND, f"Method not found: {str(method)[:80]}")

    def _remember(self, session: str, params: dict[str, Any]) -> str:
        cwd = params.get("cwd")
        if not isinstance(cwd, str) or not Path(cwd).is_absolute() or not Path(cwd).is_dir():
            raise Refused(INVALID_PARAMS, "cwd: expected the absolute path of a directory")
        self._folders[session] = cwd
        return session

    def _known(self, params: dict[str, Any]) -> str:
        session = _session(params)
        if session not in self._folders:
            raise Refused(INVALID_PARAMS, "sessionId: no such session; open one with session/new")
        return session

    def _accept(self, job: Job) -> None:
        self._open.append(job)
        self._jobs.put(job)

    def _cancel(self, session: Any) -> None:
        for job in list(self._open):
            if session in (None, job.session):
                job.stop.set()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            reason = self._turn(job)
            self._open.remove(job)
            self._wire.send({"id": job.id, "result": {"stopReason": reason}})
            self._jobs.task_done()

    def _turn(self, job: Job) -> str:
        try:
            steps = understand(job.text)
        except NotUnderstood as error:
            self._wire.say(job.session, report.not_understood(error))
            return "end_turn"
        turn = Turn(
            self._folders[job.session], job.stop, lambda update: self._wire.update(job.session, update)
        )
        said = turn.work(steps)
        if said is None:
            return "cancelled"
        self._wire.say(job.session, said)
        return "end_turn"


def _hello() -> dict[str, Any]:
    return {
        "protocolVersion": VERSION,
        "agentInfo": {"name": "scripted", "title": "Scripted agent (no model)", "version": "1"},
        "agentCapabilities": {"loadSession": True, "promptCapabilities": {}},
        "authMethods": [],
    }


def _session(params: dict[str, Any]) -> str:
    session = params.get("sessionId")
    if not isinstance(session, str) or not 0 < len(session) <= 256:
        raise Refused(INVALID_PARAMS, "sessionId: expected a string")
    return session


def _request_text(params: dict[str, Any]) -> str:
    """The last text block: what comes before it is context, which only a model can use."""
    blocks = params.get("prompt")
    texts = (
        [block.get("text") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    )
    spoken = [text for text in texts if isinstance(text, str)]
    if not spoken:
        raise Refused(INVALID_PARAMS, "prompt: expected a list with a text block")
    return spoken[-1]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _chunks(text: str) -> Iterator[str]:
    while len(text) > CHUNK:
        cut = text.rfind(" ", 1, CHUNK) + 1 or CHUNK
        yield text[:cut]
        text = text[cut:]
    yield text


def main() -> None:
    Agent().serve()

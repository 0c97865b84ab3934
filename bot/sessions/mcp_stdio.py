"""The session's MCP server as an agent starts it in a sandbox: lines of JSON-RPC to the gateway and back.

It is copied there and runs on the Python it finds (3.9 or later), with nothing but the standard library.
Who is talking is known by the sandbox, so nothing here names a session, and there is nothing to steal.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import threading
from pathlib import Path
from typing import Any

HOST, PORT = "127.0.0.1", 3128
WAIT_SECONDS = 1000.0
BEAT_SECONDS = 10.0
FILE_BYTES = 8 * 1024 * 1024
_writing = threading.Lock()


def table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def send(message: dict[str, Any]) -> None:
    with _writing:
        sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        sys.stdout.buffer.flush()


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    """What the gateway says to it, as a message; None where nothing is to be said."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=WAIT_SECONDS)
    try:
        connection.request("POST", "/mcp", json.dumps(message), {"Content-Type": "application/json"})
        content = connection.getresponse().read()
    finally:
        connection.close()
    if "id" not in message:
        return None
    said = table(json.loads(content)) if content else {}
    if "result" in said:
        return {"id": message["id"], "result": said["result"]}
    error = table(said.get("error"))
    code = error.get("code") if isinstance(error.get("code"), int) else -32000
    text = str(error.get("message", "There was no answer."))
    return {"id": message["id"], "error": {"code": code, "message": text}}


def with_file(message: dict[str, Any]) -> dict[str, Any]:
    """A file leaves by its content: nothing outside ever opens a path of this sandbox."""
    params = table(message.get("params"))
    if message.get("method") != "tools/call" or params.get("name") != "post_file":
        return message
    arguments = table(params.get("arguments"))
    with Path(arguments["path"]).open("rb") as file:
        content = file.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise ValueError(f"it is larger than {FILE_BYTES // 1024 // 1024} MiB")
    arguments = {**arguments, "content": base64.b64encode(content).decode()}
    return {**message, "params": {**params, "arguments": arguments}}


def beat(token: Any, done: threading.Event) -> None:
    """Tell a client that wants to hear of it that there is no answer yet, so that it goes on waiting."""
    count = 0
    while not done.wait(BEAT_SECONDS):
        count += 1
        send({"method": "notifications/progress", "params": {"progressToken": token, "progress": count}})


def serve(message: dict[str, Any]) -> None:
    done = threading.Event()
    token = table(table(message.get("params")).get("_meta")).get("progressToken")
    if token is not None:
        threading.Thread(target=beat, args=(token, done), daemon=True).start()
    try:
        said = handled(message)
    finally:
        done.set()
    if said is not None:
        send(said)


def handled(message: dict[str, Any]) -> dict[str, Any] | None:
    try:
        message = with_file(message)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"The file cannot be read: {getattr(error, 'strerror', None) or error}."
        result = {"content": [{"type": "text", "text": text}], "isError": True}
        return {"id": message.get("id"), "result": result}
    try:
        return answer(message)
    except (OSError, ValueError, http.client.HTTPException) as error:
        text = f"The thread cannot be reached: {error}."
        return {"id": message["id"], "error": {"code": -32000, "message": text}} if "id" in message else None


def main() -> None:
    """Until stdin ends; what is unanswered then is nobody's any more."""
    for line in sys.stdin.buffer:
        try:
            message = json.loads(line)
        except ValueError:
            send({"id": None, "error": {"code": -32700, "message": "This is no JSON."}})
            continue
        if isinstance(message, dict):
            threading.Thread(target=serve, args=(message,), daemon=True).start()


if __name__ == "__main__":
    main()

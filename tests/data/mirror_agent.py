"""An agent that says what it was given: each block of its prompt, and each file that lies in its folder.

argv[1] is a JSON object of its prompt capabilities.
"""

import hashlib
import json
import os
import sys

ABLE = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def mark(content):
    return hashlib.sha256(content).hexdigest()


def files():
    found = {}
    for folder, _, names in os.walk(os.path.expanduser("~/attachments")):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[path] = mark(file.read())
    return found


def shown(block):
    """Without the bytes of an image, which are known by their mark."""
    return {**block, "data": mark(block["data"].encode())} if "data" in block else block


for received in sys.stdin:
    message = json.loads(received)
    method, number = message.get("method"), message.get("id")
    if method == "initialize":
        able = {"promptCapabilities": ABLE}
        send({"id": number, "result": {"protocolVersion": 1, "agentCapabilities": able}})
    elif method == "session/new":
        send({"id": number, "result": {"sessionId": "mirror-1"}})
    elif method == "session/prompt":
        params = message["params"]
        text = json.dumps({"blocks": [shown(block) for block in params["prompt"]], "files": files()})
        said = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
        send({"method": "session/update", "params": {"sessionId": params["sessionId"], "update": said}})
        send({"id": number, "result": {"stopReason": "end_turn"}})

"""An ACP agent that does what a test tells it, well or badly: the last text block of a prompt is a JSON list
of operations, argv[1] a JSON object of how it starts, or @ and a file that holds it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TOLD = sys.argv[1] if len(sys.argv) > 1 else "{}"
OPTIONS = json.loads(Path(TOLD[1:]).read_text() if TOLD.startswith("@") else TOLD)
SESSION = OPTIONS.get("session", "puppet-1")
hello = {}
seen = []


def raw(line):
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def send(message):
    raw(json.dumps({"jsonrpc": "2.0", **message}))


def update(body, session=None):
    send({"method": "session/update", "params": {"sessionId": session or SESSION, "update": body}})


def say(text):
    update({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}})


def receive():
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    message = json.loads(line)
    seen.append(message)
    return message


def ask(request_id, method, params):
    """Ask the client and say what it answered."""
    send({"id": request_id, "method": method, "params": params})
    while True:
        message = receive()
        if message.get("id") == request_id and "method" not in message:
            say(json.dumps({"result": message.get("result"), "error": message.get("error")}))
            return


def wait_for_cancel():
    while receive().get("method") != "session/cancel":
        pass


def flood(count, text):
    body = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    params = {"sessionId": SESSION, "update": body}
    line = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": params}).encode() + b"\n"
    for _ in range(count):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def repeat(count, line):
    for _ in range(count):
        sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def big(size):
    sys.stdout.buffer.write(b'{"jsonrpc":"2.0","method":"session/update","params":{"text":"')
    for _ in range(size // 65536):
        sys.stdout.buffer.write(b"x" * 65536)
    raw('"}}')


def stderr(text):
    sys.stderr.write(text)
    sys.stderr.flush()


def mcp(*messages):
    """Say what the first tool server it was given answers to each of these, in their order."""
    given = next(m for m in seen if m.get("method") in ("session/new", "session/load", "session/resume"))
    server = given["params"]["mcpServers"][0]
    command = [server["command"], *server["args"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for message in messages:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            process.stdin.flush()
            while "id" in message:
                answer = json.loads(process.stdout.readline())
                say(json.dumps(answer))
                if answer.get("id") == message["id"]:
                    break
        process.stdin.close()


def prompt(request_id, operations):
    result = {"stopReason": "end_turn"}
    for name, *args in operations:
        if name == "stop":
            result = args[0]
        elif name == "cancelled":
            wait_for_cancel()
            result = {"stopReason": "cancelled"}
        elif name == "error":
            send({"id": request_id, "error": args[0]})
            return
        elif name == "seen":
            say(json.dumps(seen))
        elif name == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif name == "close_stdout":
            os.close(1)
            time.sleep(60)
        else:
            OPERATIONS[name](*args)
    send({"id": request_id, "result": result})


OPERATIONS = {
    "raw": raw,
    "say": say,
    "update": update,
    "request": ask,
    "flood": flood,
    "big": big,
    "repeat": repeat,
    "stderr": stderr,
    "mcp": mcp,
    "write": lambda path, text: Path(path).write_text(text),
    "grow": os.truncate,
    "exit": lambda code: (sys.stdout.flush(), os._exit(code)),
    "sleep": time.sleep,
    "send": send,
}


def initialized():
    """Options: capabilities, load, resume, auth, version."""
    able = {"loadSession": bool(OPTIONS.get("load", False)), **OPTIONS.get("capabilities", {})}
    if OPTIONS.get("resume"):
        able["sessionCapabilities"] = {"resume": {}}
    version = OPTIONS.get("version", 1)
    return {"protocolVersion": version, "agentCapabilities": able, "authMethods": OPTIONS.get("auth", [])}


def reply(request_id, result):
    send({"id": request_id, "error" if isinstance(result, dict) and "code" in result else "result": result})


def continued(request_id, session, how):
    """Say old words, then answer as told: `how` is True, "refuse", or an error."""
    if how != "silent":
        text = OPTIONS.get("history", "old")
        update({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}, session)
    refusal = {"code": -32002, "message": "Resource not found"}
    reply(request_id, refusal if how == "refuse" else OPTIONS.get("opened", {}))


def configured(params):
    """Set an option as one would, unless its value is in `refuse`; `quirk` is the answer instead."""
    if params.get("value") in OPTIONS.get("refuse", []):
        return {"code": -32602, "message": "Invalid params", "data": {"details": "no such value"}}
    if "quirk" in OPTIONS:
        return OPTIONS["quirk"]
    listed = OPTIONS["opened"]["configOptions"]
    for option in listed:
        if option["id"] == params["configId"]:
            option["currentValue"] = params["value"]
    return {"configOptions": listed}


def answer(message):
    method, request_id, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method == "initialize":
        if OPTIONS.get("mute"):
            return
        send({"id": request_id, "result": initialized()})
    elif method == "session/new":
        for body in OPTIONS.get("early", []):
            update(body)
        reply(request_id, OPTIONS.get("new", {"sessionId": SESSION, **OPTIONS.get("opened", {})}))
    elif method in ("session/load", "session/resume"):
        continued(request_id, params["sessionId"], OPTIONS[method.removeprefix("session/")])
    elif method == "session/set_config_option":
        reply(request_id, configured(params))
    elif method in ("session/set_mode", "session/set_model"):
        wanted = params.get("modeId", params.get("modelId"))
        refused = wanted in OPTIONS.get("refuse", [])
        reply(request_id, {"code": -32602, "message": "Invalid params"} if refused else {})
    elif method == "puppet/say":
        for text in params["texts"]:
            say(text)
    elif method == "session/prompt":
        prompt(request_id, json.loads(params["prompt"][-1]["text"]))


if OPTIONS.get("banner"):
    raw(OPTIONS["banner"])
if OPTIONS.get("stderr"):
    stderr(OPTIONS["stderr"])
if "exit" in OPTIONS:
    sys.exit(OPTIONS["exit"])
if OPTIONS.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        answer(receive())
    except SystemExit:
        if not OPTIONS.get("stubborn"):
            raise
        time.sleep(60)

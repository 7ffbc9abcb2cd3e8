"""Speaks Node's IPC: offers an action, answers triggers, says when it is ready: `ipc.py [READY_AFTER]`."""

import json
import os
import socket
import sys
import time

channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))


def say(value: object) -> None:
    channel.sendall(json.dumps(value).encode() + b"\n")


say({"type": "axm:action", "data": {"action_name": "greet", "action_type": "custom", "arity": 1, "opts": None}})
say({"type": "axm:action", "data": {"action_name": "mute", "action_type": "custom", "arity": 0, "opts": None}})
time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0)
say("ready")
print("said ready", flush=True)
buffer = b""
while data := channel.recv(4096):
    buffer += data
    while b"\n" in buffer:
        line, _, buffer = buffer.partition(b"\n")
        message = json.loads(line)
        print("got", json.dumps(message), flush=True)
        name = message if isinstance(message, str) else message.get("msg")
        if name == "shutdown":
            sys.exit(0)
        if name == "greet":
            said = {"said": "hello", "to": message["opts"] if isinstance(message, dict) else None}
            say({"type": "axm:reply", "data": {"at": 1, "action_name": "greet", "return": said}})

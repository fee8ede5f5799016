"""A Socket.IO client: listen_by_socket.py '{"url", "auth", "query", "transports"}'."""
import json
import os
import sys

import socketio

wanted = json.loads(sys.argv[1])
client = socketio.Client(reconnection=False)


def say(**what):
    # In one write: each message comes by a thread of its own.
    os.write(1, f"{json.dumps(what)}\n".encode())


client.on("connect", lambda: say(connected=True))
client.on("connect_error", lambda error: say(refused=error["message"]))
client.on("disconnect", lambda *reason: say(disconnected=True))
client.on("message", lambda *arguments: say(message=arguments))
try:
    client.connect(
        wanted["url"] + wanted.get("query", ""),
        auth=wanted.get("auth"),
        transports=wanted["transports"],
    )
    client.wait()
except socketio.exceptions.ConnectionError:
    pass

"""Talks to a WebSocket that echoes and prints what came back as JSON. Arguments: URL, file of the authority."""

import json
import ssl
import sys

from websockets.sync.client import connect

url, authority = sys.argv[1:3]
context = ssl.create_default_context(cafile=authority)
echoes = []
with connect(url, ssl=context, compression=None) as socket:
    for text in ("one", "two", "x" * 40_000):
        socket.send(text)
        echoes.append(socket.recv(timeout=10))
print(json.dumps({"echoes": echoes}))

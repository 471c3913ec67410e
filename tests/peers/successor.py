"""Takes a doorward's sockets over and never serves: what a successor that hangs or crashes looks like from outside.

usage: successor.py STATE-DIRECTORY. Says which descriptors came, one line of JSON, and waits to be killed.
"""

import json
import os
import signal
import socket
import sys

peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
peer.settimeout(10)
peer.connect(os.path.join(sys.argv[1], "hand-over.sock"))
peer.sendall(json.dumps({"say": "takeOver", "version": 1, "pid": os.getpid()}).encode() + b"\n")
text, descriptors = b"", []
while b'"passed"' not in text:
    part, more, flags, _ = socket.recv_fds(peer, 65536, 253)
    if not part:
        sys.exit(f"the conversation ended after {text!r}")
    text += part
    descriptors += more
roles = [role for line in text.splitlines() for role in json.loads(line).get("what", [])]
print(json.dumps({"roles": roles, "descriptors": len(descriptors)}), flush=True)
signal.alarm(60)
signal.pause()

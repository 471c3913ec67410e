"""What systemd does for a socket-activated service, as far as sd_listen_fds(3) and sd_notify(3) tell.

usage: activate.py NAME[,NAME...] COMMAND... Opens a loopback socket for each name and says where, as JSON. Each line on
standard input starts the command anew after stopping it with SIGTERM; the sockets stay open between. What the service
says is printed, a line of JSON each. The end of standard input stops all.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading


def tell(**what):
    print(json.dumps(what), flush=True)


names = sys.argv[1].split(",")
command = sys.argv[2:]
sockets = [socket.create_server(("127.0.0.1", 0), backlog=128) for _ in names]
directory = tempfile.mkdtemp()
notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notices.bind(os.path.join(directory, "notify"))


def listen():
    while True:
        for line in notices.recv(4096).decode().splitlines():
            tell(notified=line)


threading.Thread(target=listen, daemon=True).start()
tell(ports={name: one.getsockname()[1] for name, one in zip(names, sockets)})


def prepare():
    """In the new process: the sockets as descriptors 3 and up, and the environment that says so."""
    spare = [os.dup(one.fileno()) for one in sockets]
    high = [os.dup2(fd, 100 + at, inheritable=False) for at, fd in enumerate(spare)]
    for at, fd in enumerate(high):
        os.dup2(fd, 3 + at)
    os.environ["LISTEN_FDS"] = str(len(sockets))
    os.environ["LISTEN_FDNAMES"] = ":".join(names)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["NOTIFY_SOCKET"] = notices.getsockname()
    os.execvp(command[0], command)


service = None


def stop():
    if service is not None:
        service.send_signal(signal.SIGTERM)
        tell(exited=service.wait(60))


for _ in sys.stdin:
    stop()
    service = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=prepare)
stop()
os.remove(notices.getsockname())
os.rmdir(directory)

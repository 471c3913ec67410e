"""Those who are asked by a proxy: doorward in its forms, and an nginx that says yes at once."""

import base64
import os
import re
import secrets
import socket
import struct
import subprocess
import sys
import time
import urllib.request

from processes import LOAD_CORE, PROXY_CORE, ROOT, TARGET, free_ports, program_path, say
from proxies import PATH, Doorward

ISSUER = "http://dex.bench.svc.cluster.local:5556/dex"
# Keys of login proxies: that of the manifests, and that of the stand-in.
UP, STAND_IN = "bench/oauth2-proxy", "doorward/oauth2-proxy"
COOKIE = "oauth2_proxy_bench"
# What Envoy shows of a request, beside its host and path.
SHOWN = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https", "accept": "text/html", "user-agent": "bench"}
CHECK = "/envoy.service.auth.v3.Authorization/Check"


class Filler:
    """Writes sessions into a store as sign-in would."""

    def __init__(self, program):
        self.program = program

    @classmethod
    def built(cls):
        say("building what fills session stores (release)")
        subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", ROOT / "Cargo.toml", "--package", "doorward-login",
                        "--features", "testing", "--example", "fill_sessions"], check=True)
        return cls(TARGET / "release" / "examples" / "fill_sessions")

    def fill(self, count, login, file, store="sqlite", secret=""):
        """The values of the cookies."""
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        started = time.monotonic()
        done = subprocess.run(list(map(str, [self.program, store, file, secret, login, ISSUER, count, min(count, 64)])), check=True, capture_output=True, text=True)
        if count > 1000:
            say(f"{count:,} sessions in {store.partition(':')[0]}: {time.monotonic() - started:.0f} s")
        return done.stdout.split()


class Authorizer(Doorward):
    """`doorward up` that Envoy asks, over HTTP and over gRPC."""

    def __init__(self, bench, binary, name, values, *arguments):
        super().__init__(bench, binary, name, ["plain.yaml", "authorized.yaml"], values)
        self.check, self.grpc = free_ports(2)
        self.arguments = arguments
        self.state = bench.work / name / "state"

    def command(self):
        return [*super().command(), "--authorizer-http", f"127.0.0.1:{self.check}", "--authorizer-grpc", f"127.0.0.1:{self.grpc}", *self.arguments]

    def start(self):
        process = super().start()
        self.bench.wait_for(self.check, process)
        return process


class StandIn:
    """`doorward oauth2-proxy`, as stock Kubeflow sets it up."""

    def __init__(self, bench, binary, values):
        self.bench, self.binary = bench, binary
        self.state = bench.work / "stand-in" / "state"
        (self.check,) = free_ports(1)
        self.values = values

    def command(self):
        flags = {
            "provider": "oidc", "oidc-issuer-url": ISSUER, "skip-oidc-discovery": "true", "login-url": "/dex/auth", "redeem-url": f"{ISSUER}/token",
            "oidc-jwks-url": f"{ISSUER}/keys", "client-id": "bench", "client-secret": self.values["client_secret"],
            "cookie-secret": self.values["cookie_secret"], "cookie-name": COOKIE, "cookie-expire": "24h", "email-domain": "*", "upstream": "static://200",
            "set-authorization-header": "true", "set-xauthrequest": "true", "reverse-proxy": "true", "redirect-url": "/oauth2/callback",
            "relative-redirect-url": "true", "code-challenge-method": "S256", "http-address": f"127.0.0.1:{self.check}",
        }
        return ["env", f"DOORWARD_STATE={self.state}", self.binary, "oauth2-proxy", *[f"--{name}={value}" for name, value in flags.items()]]

    def start(self):
        process = self.bench.start(PROXY_CORE, self.command(), "stand-in.log")
        self.bench.wait_for(self.check, process)
        return process


class Redis:
    """A store on the core of the load, which keeps what it acknowledges."""

    def __init__(self, bench, name):
        self.bench, self.name = bench, name
        self.directory = bench.work / name
        self.directory.mkdir()
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self):
        program = program_path("redis-server") or sys.exit("redis-server is not installed: apt-get install redis-server")
        command = [program, "--port", self.port, "--bind", "127.0.0.1", "--dir", self.directory, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        process = self.bench.start(LOAD_CORE, command, f"{self.name}.log")
        self.bench.wait_for(self.port, process)
        return process


def make_secret(work):
    path = work / "session-secret"
    path.write_text(base64.b64encode(os.urandom(48)).decode() + "\n")
    path.chmod(0o600)
    return path


def first_check(door, cookie):
    """Milliseconds from starting the process to its first answer that lets a signed-in request pass."""
    request = f"GET {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-forwarded-proto: https\r\ncookie: {COOKIE}={cookie}\r\nconnection: close\r\n\r\n".encode()
    door.ready.unlink(missing_ok=True)
    started = time.perf_counter()
    process = subprocess.Popen(list(map(str, door.command())), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and time.perf_counter() - started < 60:
            try:
                with socket.create_connection(("127.0.0.1", door.check), timeout=5) as plain:
                    plain.sendall(request)
                    if plain.recv(64).startswith(b"HTTP/1.1 200"):
                        return (time.perf_counter() - started) * 1000
            except OSError:
                pass
            time.sleep(0.001)
        sys.exit("doorward let no signed-in request pass")
    finally:
        process.terminate()
        process.wait()


# --- A check as Envoy sends it over gRPC ----------------------------------------------------------------------------

def check_message(path, cookie):
    """`envoy.service.auth.v3.CheckRequest` behind the five bytes that gRPC puts in front."""
    address = field(1, field(1, field(2, b"203.0.113.7") + varint(3 << 3) + varint(41234)))
    headers = {":authority": "127.0.0.1", ":method": "GET", ":path": path, ":scheme": "https", **SHOWN, "cookie": f"{COOKIE}={cookie}",
               "x-request-id": "7f9c24e8-3b12-4fef-91e0-8d7a6b5c4d3e"}
    mapped = b"".join(field(3, field(1, name.encode()) + field(2, value.encode())) for name, value in headers.items())
    http = (field(1, b"7226107310561463212") + field(2, b"GET") + mapped + field(4, path.encode()) + field(5, b"127.0.0.1") + field(6, b"https")
            + field(10, b"HTTP/1.1"))
    message = field(1, field(1, address) + field(4, field(2, http)))
    return b"\0" + struct.pack(">I", len(message)) + message


def field(number, content):
    """A field that has a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def new_values():
    return {"client_secret": secrets.token_hex(20), "cookie_secret": secrets.token_hex(16)}


# --- What it tells ---------------------------------------------------------------------------------------------------

def metrics(door):
    with urllib.request.urlopen(f"http://127.0.0.1:{door.admin}/metrics", timeout=10) as answer:
        return answer.read().decode()


def held(door):
    """How many sessions are in memory."""
    return int(re.search(r"^doorward_sessions_in_memory (\d+)$", metrics(door), re.M).group(1))

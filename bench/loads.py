"""Loads, and what they measure. Every load runs on the core that the proxy is not on."""

import re
import resource
import socket
import ssl
import subprocess

from processes import LOAD_CORE, cpu_seconds, resident_bytes
from proxies import LARGE_PATH, PATH

UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Unserved(Exception):
    """What a load met instead of the answers it asked for."""


class Load:
    """One way to ask a proxy. `unit` is what CPU time is counted by."""

    scheme = "https"
    # A script of wrk's, and what it is told.
    script = None

    def __init__(self, name, unit, path=PATH, connections=None, headers=()):
        self.name, self.unit, self.path, self.connections, self.headers = name, unit, path, connections, headers

    def run(self, port, seconds, connections, headers):
        """Requests served, requests a second, p50 and p99 in milliseconds."""
        command = ["wrk", "--threads", "1", "--connections", str(self.connections or connections), "--duration", f"{seconds}s", "--latency"]
        for header in (*self.headers, *headers):
            command += ["--header", header]
        told = []
        if self.script:
            script, told = self.script
            command += ["--script", script]
            told = ["--", *told]
        text = run([*command, f"{self.scheme}://127.0.0.1:{port}{self.path}", *told])
        wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text) or re.search(r"Socket errors: (.*)", text)
        if wrong and not (self.name == "handshakes" and "Socket" in wrong.group(0)):
            raise Unserved(wrong.group(0))
        requests = int(found(r"(\d+) requests in", text).group(1))
        if requests == 0:
            raise Unserved("not one request was answered")

        def percentile(which):
            value, unit = found(rf"^\s+{which}%\s+([\d.]+)(us|ms|s)$", text).groups()
            return float(value) * UNITS[unit]

        return {
            "requests": requests,
            "rate": float(found(r"Requests/sec:\s+([\d.]+)", text).group(1)),
            "p50": percentile("50"),
            "p99": percentile("99"),
        }


class Large(Load):
    """1 MiB an answer: CPU time a MiB."""

    def __init__(self):
        super().__init__("1 MiB answers", "MiB", path=LARGE_PATH, connections=16)


class Http2(Load):
    """HTTP/2 with many streams on few connections."""

    def __init__(self):
        super().__init__("HTTP/2, 100 streams", "request")

    def run(self, port, seconds, connections, headers):
        command = ["h2load", "--duration", str(seconds), "--clients", "2", "--max-concurrent-streams", "100"]
        for header in headers:
            command += ["--header", header]
        text = run([*command, f"https://127.0.0.1:{port}{self.path}"])
        done, failed = found(r"requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed", text).groups()
        other = sum(int(count) for count in found(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text).groups())
        if other or int(failed) or not int(done) or "Application protocol: h2" not in text:
            raise Unserved(f"not served over HTTP/2:\n{text}")
        value, unit = found(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", text).groups()
        rate = float(found(r"finished in [\d.]+s, ([\d.]+) req/s", text).group(1))
        mean = float(value) * UNITS[unit]
        # h2load tells no percentiles: the mean stands for the middle.
        return {"requests": int(done), "rate": rate, "p50": mean, "p99": float("nan")}


def run(command):
    done = subprocess.run(["taskset", "--cpu-list", LOAD_CORE, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise Unserved(f"`{command[0]}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def found(pattern, text):
    """What a load's own report says; it says something else when nothing was served."""
    match = re.search(pattern, text, re.M)
    if not match:
        raise Unserved(f"no figures:\n{text}")
    return match


PLAIN = Load("plain", "request")
AUTHORIZED = Load("authorized", "request")
LARGE = Large()
HANDSHAKES = Load("handshakes", "handshake", headers=("Connection: close",))
HTTP2 = Http2()


def measure(subject, seconds, connections):
    before = cpu_seconds(subject["pid"])
    result = subject["load"].run(subject["port"], seconds, connections, subject["headers"])
    result["cpu"] = (cpu_seconds(subject["pid"]) - before) / result["requests"] * 1e6
    result["memory"] = resident_bytes(subject["pid"]) / 2**20
    return result


def idle_memory(subject, connections):
    """Resident MB with this many idle keep-alive TLS connections, and without any, after one request on each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, connections + 1000) if most != resource.RLIM_INFINITY else connections + 1000, most))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before = resident_bytes(subject["pid"])
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    held = []
    try:
        for _ in range(connections):
            plain = socket.create_connection(("127.0.0.1", subject["port"]), timeout=30)
            # Or the request waits until the end of the handshake is acknowledged.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = context.wrap_socket(plain, server_hostname="127.0.0.1")
            tls.sendall(request)
            answer = b""
            while not answer.endswith(b"x" * 1024):
                more = tls.recv(65536)
                if not more:
                    raise Unserved(f"a connection was closed after {len(held)} others: {answer[:200]}")
                answer += more
            held.append(tls)
        return resident_bytes(subject["pid"]) / 2**20, before / 2**20
    except OSError as fault:
        raise Unserved(f"after {len(held)} connections: {fault}") from fault
    finally:
        for tls in held:
            tls.close()

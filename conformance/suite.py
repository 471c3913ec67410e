"""The OpenID Foundation's conformance suite: started beside us, and asked over its API."""

import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
HOST = "localhost.emobix.co.uk"
"""The name that the suite's own examples use; it has to lead to this machine."""

ENDED = {"FINISHED", "INTERRUPTED"}
GOOD = {"PASSED", "WARNING", "REVIEW", "SKIPPED"}
"""What the foundation certifies; a person looks at the pictures of `REVIEW`."""


class Suite:
    """A running suite: the jar, behind nginx for TLS as it wants it, with its database elsewhere."""

    def __init__(self, folder, jar, java, mongo):
        self.folder = folder
        self.ports = dict(zip(("https", "mtls", "http"), free_ports(3)))
        self.base = f"https://{HOST}:{self.ports['https']}/"
        self.unverified = ssl._create_unverified_context()
        self.processes = []
        certificate(folder, "suite", HOST)
        self.start_nginx()
        self.start_jar(jar, java, mongo)

    def start_nginx(self):
        text = (HERE / "nginx.conf").read_text()
        values = {"folder": self.folder, **self.ports}
        for name, value in values.items():
            text = text.replace("{{" + name + "}}", str(value))
        file = self.folder / "nginx.conf"
        file.write_text(text)
        command = ["nginx", "-e", self.folder / "nginx.log", "-c", file, "-g", "daemon off;"]
        self.processes.append(subprocess.Popen(command))

    def start_jar(self, jar, java, mongo):
        store = self.folder / "trusted.p12"
        keytool = pathlib.Path(java).with_name("keytool") if "/" in str(java) else "keytool"
        subprocess.run([keytool, "-importcert", "-noprompt", "-alias", "doorward", "-file", self.folder / "authority.crt",
                        "-keystore", store, "-storetype", "PKCS12", "-storepass", "changeit"], check=True, capture_output=True)
        command = [java, "-Xmx1500m", "-Djdk.tls.maxHandshakeMessageSize=65536",
                   f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit", "-jar", jar,
                   f"--server.port={self.ports['http']}", "--server.address=127.0.0.1",
                   f"--fintechlabs.base_url=https://{HOST}:{self.ports['https']}",
                   f"--fintechlabs.base_mtls_url=https://{HOST}:{self.ports['mtls']}", "--fintechlabs.devmode=true",
                   f"--spring.mongodb.uri={mongo}", "--openid.mongodb.targetFeatureCompatibilityVersion="]
        with open(self.folder / "suite.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        until = time.monotonic() + 300
        while time.monotonic() < until:
            if process.poll() is not None:
                raise SystemExit(f"the suite did not start: see {self.folder / 'suite.log'}")
            try:
                self.ask("GET", "api/plan/available")
                return
            except (OSError, SystemExit):  # nginx answers 502 until it is there
                time.sleep(1)
        raise SystemExit("the suite was not ready after five minutes")

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()

    def ask(self, method, path, query=None, body=None, timeout=150):
        """One call of the API: its JSON answer."""
        query = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (query or {}).items()}
        url = self.base + path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self.unverified) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise SystemExit(f"the suite refused {method} {path}: {error.code} {error.read().decode(errors='replace')}") from None
        return json.loads(text) if text else None

    def plan(self, name, variant, config):
        """Makes a plan: its id and its modules."""
        made = self.ask("POST", "api/plan", {"planName": name, "variant": variant}, config)
        return made["id"], made["modules"]

    def begin(self, plan, module):
        """Makes one module's test: its id. It may wait to be started."""
        query = {"test": module["testModule"], "plan": plan}
        if module.get("variant"):
            query["variant"] = module["variant"]
        return self.ask("POST", "api/runner", query)["id"]

    def start(self, test):
        self.ask("POST", f"api/runner/{test}")

    def info(self, test):
        return self.ask("GET", f"api/info/{test}")

    def log(self, test):
        return self.ask("GET", f"api/log/{test}")

    def wait(self, test, states, seconds):
        """Waits for one of the states: the one that it is in, at the latest after so many seconds."""
        until = time.monotonic() + seconds
        while True:
            status = self.info(test)["status"]
            if status in states or time.monotonic() > until:
                return status
            time.sleep(0.25)


def certificate(folder, name, host):
    """A certificate `NAME.crt` with `NAME.key` for a host, signed by the authority `authority.crt` that is made with the first."""

    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority = folder / "authority"
    if not authority.with_suffix(".crt").exists():
        openssl("req", "-x509", *fresh, "-days", 7, "-subj", "/CN=authority of this run", "-keyout", f"{authority}.key", "-out",
                f"{authority}.crt")
    stem, names = folder / name, folder / f"{name}.names"
    names.write_text(f"subjectAltName=DNS:{host}\nbasicConstraints=critical,CA:FALSE\n")
    openssl("req", *fresh, "-subj", f"/CN={host}", "-keyout", f"{stem}.key", "-out", f"{stem}.csr")
    openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial",
            "-days", 7, "-extfile", names, "-out", f"{stem}.crt")


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def await_port(port, process, log):
    """Waits until somebody listens there."""
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"doorward did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.1)


def options(parser):
    """What both runners take."""
    parser.add_argument("--suite", type=pathlib.Path, required=True, help="the suite's jar")
    parser.add_argument("--java", default=shutil.which("java"), help="Java 21 or newer")
    parser.add_argument("--mongo", default="mongodb://127.0.0.1:27017/conformance")
    parser.add_argument("--modules", default="", help="only these modules of the plans, separated by commas")
    parser.add_argument("--doorward", type=pathlib.Path, help="this binary instead of building one")
    parser.add_argument("--write", type=pathlib.Path, help="write the table into this Markdown file")
    parser.add_argument("--keep", type=pathlib.Path, help="keep every module's log and ours in this directory")


def build():
    subprocess.run(["cargo", "build", "--release", "-p", "doorward"], check=True, cwd=HERE.parent)
    return HERE.parent / "target/release/doorward"

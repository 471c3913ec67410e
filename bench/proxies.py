"""The proxies: doorward and what it is measured beside."""

import base64
import http.cookiejar
import json
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from processes import PROXY_CORE, free_ports

USER, PASSWORD = "user@example.com", "12341234"
PASSWORD_HASH = "$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72"
PATH, LARGE_PATH = "/app/bench", "/app/large"
TOKEN_ISSUER = "https://issuer.bench.example"


def make_certificate(work):
    certificate, key = work / "bench.crt", work / "bench.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=doorward bench",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, stderr=subprocess.DEVNULL)
    key.chmod(0o644)
    return certificate, key


class Doorward:
    """`doorward up` on a manifest tree of its own."""

    def __init__(self, bench, binary, name, templates, values):
        self.bench, self.binary, self.name = bench, binary, name
        self.tree = bench.work / name / "manifests"
        for template in templates:
            bench.fill(f"manifests/{template}", f"{name}/manifests/{template}", values)
        self.port, self.http, self.admin = free_ports(3)
        self.ready = bench.work / name / "ready.json"
        self.upstream = values["upstream"]
        self.process = None

    def start(self):
        self.ready.unlink(missing_ok=True)
        self.process = self.bench.start(PROXY_CORE, self.command(), f"{self.name}.log")
        self.bench.wait_for(self.port, self.process)
        end = time.monotonic() + 30
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"doorward does not serve:\n{(self.bench.work / f'{self.name}.log').read_text()[-3000:]}")
            time.sleep(0.01)
        return self.process

    def command(self):
        return [
            self.binary, "up", "--manifests", self.tree, "--state", self.bench.work / self.name / "state", "--resolve", f"*=127.0.0.1:{self.upstream}",
            "--https", f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http}", "--admin", f"127.0.0.1:{self.admin}", "--ready-file", self.ready,
        ]


def trusting(certificate):
    return ssl.create_default_context(cafile=str(certificate))


def sign_in(port, certificate):
    """Signs in as a script does; answers the `Cookie` header of the session."""
    base = f"https://127.0.0.1:{port}"
    jar = http.cookiejar.CookieJar()
    visitor = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusting(certificate)), urllib.request.HTTPCookieProcessor(jar))
    with visitor.open(f"{base}/oauth2/start?rd={PATH}") as form:
        action = re.search(r'<form[^>]*\saction="([^"]*)"', form.read().decode())
        target = urllib.parse.urljoin(form.url, action.group(1).replace("&amp;", "&").replace("&#38;", "&") if action else "")
    with visitor.open(target, urllib.parse.urlencode({"login": USER, "password": PASSWORD}).encode()) as page:
        if page.status != 200 or urllib.parse.urlsplit(page.url).path != PATH:
            sys.exit(f"signing in ended at {page.url} with {page.status}")
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


def first_answer(door, certificate, cookie):
    """Milliseconds from starting the process to its first answer to a signed-in request."""
    context = trusting(certificate)
    request = f"GET {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n".encode()
    door.ready.unlink(missing_ok=True)
    started = time.perf_counter()
    process = subprocess.Popen(list(map(str, door.command())), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and time.perf_counter() - started < 30:
            try:
                with socket.create_connection(("127.0.0.1", door.port), timeout=5) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                    tls.sendall(request)
                    if tls.recv(64).startswith(b"HTTP/1.1 200"):
                        return (time.perf_counter() - started) * 1000
            except OSError:
                pass
            time.sleep(0.001)
        sys.exit("doorward gave no answer to a signed-in request")
    finally:
        process.terminate()
        process.wait()


# --- A token for proxies that check one themselves ------------------------------------------------------------------

def make_token(work):
    """A JWK set and a token signed with its key (RS256), as an issuer would give them."""
    key = work / "token.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key], check=True, stderr=subprocess.DEVNULL)
    modulus = subprocess.run(["openssl", "rsa", "-in", key, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
    jwks = {"keys": [{"kty": "RSA", "kid": "bench", "alg": "RS256", "use": "sig", "n": base64url(bytes.fromhex(modulus.strip().partition("=")[2])), "e": "AQAB"}]}
    claims = {
        "iss": TOKEN_ISSUER, "sub": "Cg4xNTg0MTE4NTY0MTc4NBIFbG9jYWw", "aud": "bench", "exp": int(time.time()) + 86400, "iat": int(time.time()),
        "nonce": "x" * 43, "at_hash": "x" * 22, "email": USER, "email_verified": True, "groups": ["team-a", "team-b"], "name": "user",
    }
    signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in ({"alg": "RS256", "kid": "bench"}, claims))
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=signed.encode(), check=True, capture_output=True).stdout
    return json.dumps(jwks), f"{signed}.{base64url(signature)}"


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

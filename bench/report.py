"""The table, and what it says about the aims."""

import math
import os
import platform
import re
import statistics
import subprocess

from processes import LOAD_CORE, PROXY_CORE

COLUMNS = [("requests/s", "rate", "{:,.0f}"), ("CPU µs", "cpu", "{:.1f}"), ("p50 ms", "p50", "{:.2f}"), ("p99 ms", "p99", "{:.2f}"), ("memory MB", "memory", "{:.1f}")]

AIMS = "| aim | limit | reached | |\n|---|---:|---:|---|"


class Report:
    """What was measured, by load and proxy."""

    def __init__(self, subjects, args, versions, starts):
        self.subjects = [subject for subject in subjects if subject["results"]]
        self.args, self.versions, self.starts = args, versions, starts
        self.by = {(subject["load"].name, subject["name"]): subject for subject in self.subjects}

    def show(self):
        """The rounds, as far as they went."""
        args = self.args
        print(f"{args.rounds} interleaved rounds of {args.seconds} s, {args.connections} keep-alive connections and 1 KiB answers unless the load says otherwise, TLS (P-256), HTTP/1.1;")
        print(f"each proxy on core {PROXY_CORE}, load and upstream on core {LOAD_CORE}. Medians; in brackets the ratio to nginx under the same load (plain for `authorized`).\n")
        print(f"Machine: {machine()}\n")
        print(f"Versions: {'; '.join(self.versions)}\n")
        head = ["load", "proxy", *[title for title, _, _ in COLUMNS]]
        print("| " + " | ".join(head) + " |")
        print("|" + "|".join(["---", "---", *["---:"] * len(COLUMNS)]) + "|")
        for subject in self.subjects:
            base = self.by.get((("plain" if subject["load"].name == "authorized" else subject["load"].name), "nginx"))
            cells = [subject["load"].name, subject["name"]]
            for _, key, form in COLUMNS:
                value = median(subject, key)
                if math.isnan(value):
                    cells.append("–")
                    continue
                cell = form.format(value)
                if key == "cpu":
                    cell += f"/{subject['load'].unit}"
                if base:
                    cell += f" ({value / median(base, key):.2f})"
                cells.append(cell)
            print("| " + " | ".join(cells) + " |")
        print()
        if self.starts:
            starts = self.starts
            print(f"doorward, exec → first authenticated answer on an initialised state directory: {statistics.median(starts):.0f} ms (median of {len(starts)}; {min(starts):.0f}–{max(starts):.0f})\n")
        self.aims()

    def show_idle(self, idle):
        """Memory with idle connections: resident MB with and without them, by proxy."""
        print()
        for name, (memory, before) in idle.items():
            print(f"{self.args.idle:,} idle keep-alive TLS connections, {name}: {memory:.0f} MB resident ({before:.0f} MB before)")
        if "doorward" in idle and "envoy" in idle:
            ours, theirs = idle["doorward"][0], idle["envoy"][0]
            print(f"\n{AIMS}")
            row(f"{self.args.idle:,} idle connections: memory of Envoy's", "1.00 ×", f"{ours / theirs:.2f} ×", ours <= theirs)

    def aims(self):
        print(AIMS)
        self.cpu("plain", "doorward", 0.85, "plain", "nginx")
        self.cpu("plain", "doorward", 0.35, "plain", "envoy")
        self.aim("plain: requests/s not below nginx's", ("plain", "doorward", "rate"), ("plain", "nginx", "rate"), 1.0, at_least=True)
        self.aim("plain: p99 not above nginx's", ("plain", "doorward", "p99"), ("plain", "nginx", "p99"), 1.0)
        self.cpu("1 MiB answers", "doorward", 1.1, "1 MiB answers", "nginx")
        self.cpu("handshakes", "doorward", 0.7, "handshakes", "nginx")
        self.cpu("HTTP/2, 100 streams", "doorward", 0.5, "HTTP/2, 100 streams", "envoy")
        self.cpu("authorized", "doorward", 1.0, "plain", "nginx")
        self.cpu("authorized", "doorward", 0.2, "authorized", "envoy")
        self.cpu("authorized", "doorward", 0.4, "authorized", "envoy (own filters)")
        self.aim("authorized: p99 not above nginx's plain", ("authorized", "doorward", "p99"), ("plain", "nginx", "p99"), 1.0)
        if ("authorized", "doorward") in self.by:
            memory = median(self.by["authorized", "doorward"], "memory")
            row("memory after the run", "60 MB", f"{memory:.0f} MB", memory <= 60)
        if self.starts:
            start = statistics.median(self.starts)
            row("first authenticated answer", "300 ms", f"{start:.0f} ms", start <= 300)

    def cpu(self, load, name, limit, other_load, other):
        self.aim(f"{load}: CPU of {other}'s{'' if load == other_load else ' ' + other_load}", (load, name, "cpu"), (other_load, other, "cpu"), limit)

    def aim(self, what, ours, theirs, limit, at_least=False):
        ours_subject, their_subject = self.by.get(ours[:2]), self.by.get(theirs[:2])
        if not ours_subject or not their_subject:
            return
        # Round by round: neighbours in time share the machine's mood.
        ratios = [a[ours[2]] / b[theirs[2]] for a, b in zip(ours_subject["results"], their_subject["results"])]
        ratio = statistics.median(ratios)
        row(what, f"{limit:.2f} ×", f"{ratio:.2f} × ({min(ratios):.2f}–{max(ratios):.2f})", ratio >= limit if at_least else ratio <= limit)


def row(what, limit, reached, is_reached):
    print(f"| {what} | {limit} | {reached} | {'reached' if is_reached else '**missed**'} |")


def median(subject, key):
    return statistics.median(result[key] for result in subject["results"])


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read()).group(1)) / 2**20
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


def version_of(command, pattern):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else "?"

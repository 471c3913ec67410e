"""The table of `bench/authorizer`, and what it says about the aims."""

import math
import statistics

from processes import LOAD_CORE, PROXY_CORE
from report import AIMS, COLUMNS, machine, median, row


class Report:
    """What was measured, by load and authorizer."""

    def __init__(self, subjects, args, versions, facts):
        self.subjects = [subject for subject in subjects if subject["results"]]
        self.args, self.versions, self.facts = args, versions, facts
        self.by = {(subject["load"].name, subject["name"]): subject for subject in self.subjects}
        self.few, self.many = "100 sessions", f"{args.sessions:,} sessions"

    def show(self):
        """The rounds, as far as they went."""
        args = self.args
        print(f"{args.rounds} interleaved rounds of {args.seconds} s, {args.connections} keep-alive connections, plain HTTP/1.1 unless the load says otherwise;")
        print(f"what is measured on core {PROXY_CORE}, load, application and Redis on core {LOAD_CORE}. Medians; in brackets the ratio to the first of the same load.\n")
        print(f"Machine: {machine()}\n")
        print(f"Versions: {'; '.join(self.versions)}\n")
        print("| " + " | ".join(["load", "who", *[title for title, _, _ in COLUMNS]]) + " |")
        print("|" + "|".join(["---", "---", *["---:"] * len(COLUMNS)]) + "|")
        first = {}
        for subject in self.subjects:
            load = subject["load"].name
            base = first.setdefault(load.replace("cold", "hot"), subject)
            cells = [load, subject["name"]]
            for _, key, form in COLUMNS:
                value = median(subject, key)
                cells.append("–" if math.isnan(value) else f"{form.format(value)} ({value / median(base, key):.2f})")
            print("| " + " | ".join(cells) + " |")
        print()
        for fact in self.facts:
            starts = fact["starts"]
            print(f"{fact['store']}, {fact['sessions']:,} sessions: exec → first check let through {statistics.median(starts):.0f} ms "
                  f"(median of {len(starts)}; {min(starts):.0f}–{max(starts):.0f}), {fact['after']:.1f} MB resident then")
            if "each" in fact:
                print(f"{fact['store']}: {fact['held']:,} sessions in memory, {fact['each']:,.0f} bytes each (growth of resident memory over growth of their number)")
        print()
        self.aims()

    def aims(self):
        print(AIMS)
        for who in ("doorward up", "doorward oauth2-proxy"):
            self.aim(f"checks, {who}: requests/s of nginx's", "checks", who, "checks", "nginx", "rate", 0.6, True)
            self.aim(f"checks, {who}: p99 of nginx's", "checks", who, "checks", "nginx", "p99", 2.0, False)
        for load in ("behind Envoy, HTTP", "behind Envoy, gRPC"):
            for who in ("doorward up", "doorward oauth2-proxy"):
                self.aim(f"{load}, {who}: requests/s of that with nginx", load, who, "behind Envoy, HTTP", "nginx", "rate", 0.85, True)
        for store in ("sqlite", "redis"):
            self.aim(f"{store}: checks/s of those with 100 sessions, hot", f"{store}, hot", self.many, f"{store}, hot", self.few, "rate", 0.9, True)
            self.aim(f"{store}: checks/s of those with 100 sessions, cold", f"{store}, cold", self.many, f"{store}, hot", self.few, "rate", 0.9, True)
        for fact in self.facts:
            if "each" in fact:
                row(f"{fact['store']}: memory of a session in memory", "1,000 B", f"{fact['each']:,.0f} B", fact["each"] < 1000)

    def aim(self, what, load, who, base_load, base, key, limit, at_least):
        ours, theirs = self.by.get((load, who)), self.by.get((base_load, base))
        if not ours or not theirs:
            return
        # Round by round: neighbours in time share the machine's mood.
        ratios = [a[key] / b[key] for a, b in zip(ours["results"], theirs["results"])]
        ratio = statistics.median(ratios)
        row(what, f"{limit:.2f} ×", f"{ratio:.2f} × ({min(ratios):.2f}–{max(ratios):.2f})", ratio >= limit if at_least else ratio <= limit)

"""The outcome of plans, as a table."""

import json

from suite import GOOD


class Result:
    """Of one plan: its modules with their outcomes and what the suite found wrong."""

    def __init__(self, name):
        self.name = name
        self.modules = []

    def add(self, suite, test, module, status, keep=None):
        """Takes over one module's outcome, and shows it."""
        outcome = suite.info(test).get("result") if status == "FINISHED" else status
        log = suite.log(test)
        faults = [f"{entry['src']}: {entry.get('msg', '')}" for entry in log if entry.get("result") == "FAILURE"]
        warnings = [f"{entry['src']}: {entry.get('msg', '')}" for entry in log if entry.get("result") == "WARNING"]
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{self.name}-{module}-{test}.json").write_text(json.dumps(log, indent=1))
        said = faults or warnings
        self.modules.append((module, outcome, said))
        print(f"  {outcome:12} {module}", *(f"\n      {line[:300]}" for line in said), flush=True)

    def count(self, outcome):
        return sum(seen == outcome for _, seen, _ in self.modules)

    def failed(self):
        return [module for module, outcome, _ in self.modules if outcome not in GOOD]


def render(results):
    """Two tables: the plans, and the modules that did not simply pass."""
    lines = ["| plan | modules | passed | warned | to look at | skipped | failed |", "|---|---|---|---|---|---|---|"]
    for result in results:
        counts = [len(result.modules), *map(result.count, ("PASSED", "WARNING", "REVIEW", "SKIPPED")), len(result.failed())]
        lines.append(f"| `{result.name}` | {' | '.join(map(str, counts))} |")
    told = {}
    for result in results:
        for module, outcome, said in result.modules:
            if outcome == "WARNING" or outcome not in GOOD:
                plans, lines_said = told.setdefault((module, outcome), ([], []))
                plans.append(result.name.removesuffix("-plan").removesuffix("-test").removesuffix("-certification"))
                lines_said += said
    if told:
        lines += ["", "| module | outcome | plans | what the suite says |", "|---|---|---|---|"]
        for (module, outcome), (plans, said) in told.items():
            cells = [", ".join(dict.fromkeys(plans)), "; ".join(dict.fromkeys(line.replace("|", "\\|") for line in said))]
            lines.append(f"| `{module}` | {outcome} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def fill(file, mark, table):
    """Puts a table between the file's two marks."""
    first, last = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, rest = file.read_text().split(first, 1)
    file.write_text(f"{before}{first}\n{table}\n{last}{rest.split(last, 1)[1]}")

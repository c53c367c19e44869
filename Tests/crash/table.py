"""What came of all that was tried."""

import collections
import re
import time

SHOWN = 4
# Of the points that were chosen, these need not be met: some and a part of them. Their call did not come up that time.
MISSED_POINTS, MISSED_PART = 3, 0.02
HEADS = {
    "all": "points", "tried": "tried", "survived": "survived", "died": "died", "failed": "failed", "leaks": "leaks",
    "missed": "not met", "success": "success", "kept": "kept", "error": "error",
}  # fmt: skip
ALWAYS_SHOWN = ("all", "tried", "survived", "failed")
# What is not as it was on the host, in the container, or its neighbour.
LEAK = re.compile(": (left|gone|changed): |: a different number of each$")


class Table:
    """Counts, and remembers what to print of what failed."""

    def __init__(self, log):
        self.log = log
        self.rows = {}
        self.started = time.monotonic()
        self.passed = self.failed = 0

    def row(self, where, command, fault):
        return self.rows.setdefault((where, command, fault), collections.Counter())

    def there_are(self, rows):
        """How many points each row has, tried or not."""
        for row in rows:
            self.row(*row)["all"] += 1

    def tell(self, lines, shown=True):
        if shown:
            print("\n".join(lines), flush=True)
        if self.log:
            print("\n".join(lines), file=self.log, flush=True)

    def add(self, where, command, fault, problems, ending="", title=""):
        """One more has been tried. Who died, and was cleaned up after, has not survived, and has not failed either."""
        row = self.row(where, command, fault)
        row["tried"] += 1
        if problems:
            row["failed"] += 1
            row["leaks"] += any(LEAK.search(problem) for problem in problems)
            lines = [f"FAILED: {where}: {title}", *(f"    {problem}"[:700] for problem in problems[:20])]
            self.tell(lines, row["failed"] <= SHOWN)
            self.failed += 1
        else:
            row["died" if ending == "died" else "survived"] += 1
            self.passed += 1
        if ending != "died":
            row[ending] += 1

    def fail(self, what):
        """Something that is no point of any row."""
        self.failed += 1
        self.tell([f"FAILED: {what}"])

    def missed(self, point, where, command, fault):
        self.row(where, command, fault)["missed"] += 1
        self.tell([f"not met: {where}: {point.title}"], shown=False)

    def look_at_missed(self):
        """A table of what was never met says nothing."""
        for name, row in self.rows.items():
            if row["missed"] and not row["tried"]:
                self.fail(f"{', '.join(name)}: of {row['missed']} points that were chosen none was met")
        missed = sum(row["missed"] for row in self.rows.values())
        chosen = missed + sum(row["tried"] for row in self.rows.values())
        if missed > MISSED_POINTS and missed > MISSED_PART * chosen:
            self.fail(f"{missed} of {chosen} points that were chosen were not met")

    def close(self):
        self.look_at_missed()
        form = "{:<22} {:<7} {:<33} {:>6} {:>6} {:>9} {:>6} {:>7} {:>6} {:>7}  {:>8} {:>5} {:>6}"
        print()
        print(form.format("chain", "command", "fault", *HEADS.values()).rstrip())
        sums = collections.Counter()
        for name, row in self.rows.items():
            sums.update(row)
            print(form.format(*name, *self.counts(row)).rstrip())
        print(form.format("all", "", "", *self.counts(sums)).rstrip())
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        print(f"\n{sums['tried']} of {sums['all']} points tried in {minutes} min {seconds} s: {sums['survived']} survived, "
              f"{sums['died']} died, then were cleaned up after, {sums['failed']} failed")  # fmt: skip
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0

    @staticmethod
    def counts(row):
        return [row[count] if count in ALWAYS_SHOWN else row[count] or "" for count in HEADS]

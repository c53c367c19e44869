#!/usr/bin/env python3
"""count-tests.py [--expected LIST] FILE...: prints "PASSED FAILED" from the xunit files of `swift test`.

The files' own totals count issues, of which one test may record many; here a test counts once. A missing or cut file
means that the run crashed: one failure.

LIST has the identities of tests, one a line, as in TestSupport's KernelRequirement. Then those count, and no others: one that
has not run failed, and is named on standard error.
"""
import sys
import xml.etree.ElementTree as tree


def outcomes(path):
    """Yields the name of each test that ran, and whether it passed."""
    for case in tree.parse(path).iter("testcase"):
        if case.find("skipped") is None:
            name = f"{case.get('classname')}.{case.get('name')}".replace("/", ".")
            yield name, case.find("failure") is None and case.find("error") is None


def main(arguments):
    expected = None
    if arguments[:1] == ["--expected"]:
        with open(arguments[1], encoding="utf-8") as file:
            # Module.Suite/test(argument:)/File.swift:1:2
            expected = {line.strip().rpartition("/")[0].replace("/", ".") for line in file}
        arguments = arguments[2:]
    passed, failed = set(), set()
    for path in arguments:
        try:
            for name, good in outcomes(path):
                (passed if good else failed).add(name)
        except (OSError, tree.ParseError):
            if expected is None:
                failed.add(path)
    passed -= failed
    if expected is not None:
        for name in sorted(expected - passed - failed):
            print(f"did not run: {name}", file=sys.stderr)
        passed &= expected
        failed = expected - passed
    print(len(passed), len(failed))


main(sys.argv[1:])

#!/usr/bin/env python3
"""count-tests.py FILE: prints "PASSED FAILED" from the xunit file of `swift test`.

The file's own totals count issues, of which one test may record many; here a test counts once. A missing or cut file
means that the run crashed: one failure.
"""
import sys
import xml.etree.ElementTree as tree

passed = failed = 0
try:
    for case in tree.parse(sys.argv[1]).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is None:
            passed += 1
except (OSError, tree.ParseError):
    failed += 1
print(passed, failed)

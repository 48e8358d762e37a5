"""Fails when a runner skipped a test, or ran fewer than scripts/test-count says.

    test_counts.py KIND RESULTS.xml

KIND is a line of scripts/test-count; RESULTS is the JUnit form that `swift test` and pytest write.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def least(kind: str) -> int:
    lines = pathlib.Path(__file__).with_name("test-count").read_text().splitlines()
    numbers = dict(line.split() for line in lines if line and not line.startswith("#"))
    return int(numbers[kind])


def main(kind: str, results: str) -> int:
    cases = list(ElementTree.parse(results).iter("testcase"))
    skipped = [case for case in cases if case.find("skipped") is not None]
    for case in skipped:
        print(f"skipped: {case.get('classname')} {case.get('name')}", file=sys.stderr)
    ran, wanted = len(cases) - len(skipped), least(kind)
    print(f"{kind}: {ran} tests ran, at least {wanted} must, {len(skipped)} were skipped")
    if ran > wanted:
        print(f"{kind}: scripts/test-count may say {ran}")
    return 1 if skipped or ran < wanted or ran == 0 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""What the output of a validation program says about a runtime."""

from __future__ import annotations

import pytest

from conformance.run import parse
from conformance.verdict import FAIL, PASS, SKIP, TIMEOUT, Verdict


@pytest.mark.parametrize(
    ("output", "status", "result", "reason"),
    [
        ("TAP version 13\nok 1 - one\n1..1\n", 0, PASS, ""),
        ("ok 1 - one\nnot ok 2 - two\n  ---\n  ...\n1..2\n", 0, FAIL, "not ok 2 - two"),
        ("ok 1\nnot ok 2 # todo later\n1..2\n", 0, PASS, ""),
        ("not ok 1 # SKIP no\nok 2\n1..2\n", 0, PASS, ""),
        ("1..1\nok 1 # SKIP no AppArmor\n", 0, SKIP, "ok 1 # SKIP no AppArmor"),
        ("ok 1\n1..1\nexit status 1\n", 1, FAIL, "exit status 1"),
        (
            'failed to create the container\ntime="x" level=error msg="cannot \\"a\\""\nexit status 1\n',
            1,
            FAIL,
            'cannot "a"',
        ),
        ('TAP version 13\n  ---\n  {\n    "error": "It MUST\\nRefer to: x"\n  }\n  ...\n1..0\n', 0, FAIL, "It MUST"),
        ("TAP version 13\n1..0\n", 0, PASS, ""),
        ("1..3\n", 0, FAIL, "3 points planned, 0 found"),
        ("1..2\nok 1\n1..2\nok 1\n", 0, PASS, ""),
        ("", 0, FAIL, "printed neither a plan nor a point"),
        ("ok 1\nit hangs\n", None, TIMEOUT, "time is up: it hangs"),
    ],
)
def test_an_output_has_its_verdict(output: str, status: int | None, result: str, reason: str) -> None:
    verdict = Verdict("some", output, status)
    assert (verdict.result, verdict.reason) == (result, reason)


def test_points_are_counted_where_a_line_begins() -> None:
    verdict = Verdict("some", "ok 1\n  not ok 1 - of a program inside\nok 2 # skip no\nnot ok 3\n", 0)
    assert (verdict.ok, verdict.not_ok, verdict.skipped) == (1, 1, 1)


def test_a_refusal_is_right_for_the_program_that_wants_one() -> None:
    assert Verdict("process_rlimits_fail", "failed to create the container\n", 0).result == PASS
    assert Verdict("process_rlimits", "failed to create the container\n", 0).result == FAIL


def test_the_options_have_defaults() -> None:
    options = parse(["--programs", "validation"])
    assert (options.runtime, options.timeout, options.cgroup) == ("ocirt", 90.0, "same")

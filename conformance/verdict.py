"""The output of a validation program (TAP, with diagnostics in YAML) -> what it says about the runtime."""

from __future__ import annotations

import re

PASS = "pass"
FAIL = "fail"
SKIP = "skip"
TIMEOUT = "timeout"

# Points stand at the start of a line; the points of a program inside the container are indented and are not counted.
_POINT = re.compile(r"(not )?ok\b(.*)", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#\s*(skip|todo)", re.IGNORECASE)
_PLAN = re.compile(r"1\.\.(\d+)")
_DIAGNOSED_ERROR = re.compile(r'\s+"error": "((?:[^"\\]|\\.)+)"')
_LOGGED_MESSAGE = re.compile(r'\bmsg="((?:[^"\\]|\\.)*)"')
_NO_REASON = re.compile(r"(TAP version|1\.\.\d|#|\s|exit status \d+$|Refer to:|failed to \w+ the container$)")

# Prints no point: when the runtime refuses to create the container, which is right, it only says so.
_REFUSAL_IS_RIGHT = "process_rlimits_fail"


class Verdict:
    """``result`` is one of PASS, FAIL, SKIP, TIMEOUT; ``reason`` is one line, empty for PASS."""

    __slots__ = ("not_ok", "ok", "plan", "reason", "result", "skipped")

    def __init__(self, name: str, output: str, status: int | None) -> None:
        """*status* is the program's exit status, None when its time was up."""
        self.ok = self.not_ok = self.skipped = 0
        self.plan: int | None = None
        todo = 0
        failed_points = []
        for line in output.splitlines():
            if plan := _PLAN.match(line):
                self.plan = int(plan[1])
            elif point := _POINT.match(line):
                directive = _DIRECTIVE.search(point[2])
                word = directive[1].lower() if directive else ""
                if word == "skip":
                    self.skipped += 1
                elif not point[1]:
                    self.ok += 1
                elif word == "todo":
                    todo += 1
                else:
                    self.not_ok += 1
                    failed_points.append(line.strip())
        count = self.ok + self.not_ok + self.skipped + todo
        error = _DIAGNOSED_ERROR.search(output)
        if status is None:
            self.result, self.reason = TIMEOUT, "time is up: " + _last_message(output)
        elif failed_points:
            self.result, self.reason = FAIL, failed_points[0]
        elif status != 0:
            self.result, self.reason = FAIL, _last_message(output) or f"exit status {status}"
        elif self.plan is not None and self.plan != count and self.ok == 0:
            # Programs that print several plans, one for each part, have points that pass.
            self.result, self.reason = FAIL, f"{self.plan} points planned, {count} found"
        elif count == 0 and error:
            self.result, self.reason = FAIL, _unescape(error[1])
        elif name == _REFUSAL_IS_RIGHT and re.search(r"^failed to create", output, re.MULTILINE):
            self.result, self.reason = PASS, ""
        elif self.plan is None and count == 0:
            self.result, self.reason = FAIL, _last_message(output) or "printed neither a plan nor a point"
        elif self.ok == 0 and self.skipped:
            self.result, self.reason = SKIP, _skip_reason(output)
        else:
            self.result, self.reason = PASS, ""


def _unescape(text: str) -> str:
    text = text.partition("\\nRefer to:")[0]
    return " ".join(text.replace("\\n", " ").replace('\\"', '"').replace("\\\\", "\\").split())


def _last_message(output: str) -> str:
    """The last line that is neither TAP nor a report about another line; of a log line its message alone."""
    lines = [line for line in output.splitlines() if line and not _NO_REASON.match(line) and not _POINT.match(line)]
    if not lines:
        return ""
    logged = _LOGGED_MESSAGE.search(lines[-1])
    return _unescape(logged[1]) if logged else lines[-1].strip()


def _skip_reason(output: str) -> str:
    for line in output.splitlines():
        if _POINT.match(line) and _DIRECTIVE.search(line):
            return line.strip()
    return ""

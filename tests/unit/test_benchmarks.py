"""The benchmark's arithmetic, its table and its drawing; and that it looks for runtimes with care."""

from __future__ import annotations

import io
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import growth, plot, run
from benchmarks.cases import Case
from benchmarks.commands import BenchmarkError, Measurement, Runtime, find_runtimes
from benchmarks.docker_like_profile import profile
from benchmarks.report import Results, percentile
from ocirt.config.load import validate_config
from ocirt.config.template import default_config


def results() -> Results:
    found = Results(["ocirt", "runc"])
    for value in (10, 12, 11):
        found.add("run", "ms", "runc", Measurement(value * 4, 5))
        found.add("run", "ms", "ocirt", Measurement(value, 2))
    found.add("run-memory", "MiB", "ocirt", Measurement(3))
    return found


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2.5), (100, 4), (10, 1.3)])
def test_a_percentile_lies_between_its_neighbours(percent: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == pytest.approx(value)


def test_one_value_is_every_percentile() -> None:
    assert percentile([7], 10) == percentile([7], 90) == 7


def test_a_ratio_below_one_means_that_the_first_is_cheaper() -> None:
    assert results().ratio("run", "runc") == pytest.approx(0.25)
    assert results().ratio("run-memory", "runc") is None


def test_the_first_runtime_comes_first() -> None:
    assert list(results().series("run")) == ["ocirt", "runc"]


def test_the_columns_of_the_table_are_aligned() -> None:
    file = io.StringIO()
    results().print(file)
    lines = file.getvalue().splitlines()
    assert lines[0].split() == ["case", "runtime", "median", "p10", "p90", "cpu", "ocirt", "is"]
    assert lines[1].split() == ["run", "[ms]", "ocirt", "11.0", "10.2", "11.8", "2.00"]
    assert lines[2].split() == ["runc", "44.0", "40.8", "47.2", "5.00", "0.25", "x"]
    assert lines[3].split() == ["run-memory", "[MiB]", "ocirt", "3.00", "3.00", "3.00", "-"]
    end = lines[0].index("median") + len("median")
    assert {line[end - 1].isdigit() and line[end] for line in lines[1:]} == {" "}


def test_json_has_every_value() -> None:
    assert results().as_json()["run"]["runc"] == {
        "median": 44,
        "p10": 40.8,
        "p90": 47.2,
        "cpu_ms": 5,
        "values": [40, 48, 44],
    }


def test_the_drawing_has_a_bar_for_each_runtime_of_each_case() -> None:
    root = ElementTree.fromstring(plot.bars(results(), "a < b & c"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a < b & c" in texts
    assert "11.00 ocirt" in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 3


def test_the_curves_stay_in_their_diagram() -> None:
    curves = {"mounts": {"ocirt": [(10.0, 5.0), (100.0, 8.0), (1000.0, 60.0)], "runc": [(10.0, 40.0)]}}
    root = ElementTree.fromstring(plot.curves(curves, ["ocirt", "runc"], "ms", "title"))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == 2
    for line in lines:
        for place in line.attrib["points"].split():
            x, y = map(float, place.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


@pytest.mark.parametrize("name", growth.CHANGES)
def test_a_configuration_that_has_grown_is_a_good_one(name: str) -> None:
    for count in growth.COUNTS[name]:
        config: Any = default_config()
        growth.CHANGES[name](config, count)
        validate_config(config)


def test_the_profile_is_a_good_one() -> None:
    config: Any = default_config()
    config["linux"]["seccomp"] = profile()
    validate_config(config)


def test_a_runtime_that_is_missing_is_left_out_with_a_reason(tmp_path: Path) -> None:
    found, missing = find_runtimes(["no-such-runtime", "/bin/true"], str(tmp_path))
    assert [runtime.name for runtime in found] == ["true"]
    assert missing == ["no-such-runtime is left out: no such program"]


def test_two_runtimes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    found, _ = find_runtimes(["/bin/true", "/usr/bin/true", "/bin/true"], str(tmp_path))
    assert [runtime.name for runtime in found] == ["true", "true#2", "true#3"]


def test_a_command_that_fails_is_told_with_what_it_says(tmp_path: Path) -> None:
    program = tmp_path / "runtime"
    program.write_text("#!/bin/sh\necho some trouble >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(BenchmarkError, match=r"run x: exit status 3: some trouble"):
        Runtime("runtime", str(program), str(tmp_path)).measure("run", "x")


def test_a_command_is_measured(tmp_path: Path) -> None:
    found = Runtime("true", "/bin/true", str(tmp_path)).measure("run", "x")
    assert found.value > 0
    assert found.cpu_ms is not None


def test_the_options_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.parse(["--only", "run,tea"])
    assert "found tea" in capsys.readouterr().err


def test_what_slows_the_machine_down_is_measured_when_asked_for() -> None:
    assert "run-cold" not in run.parse([]).only
    assert run.parse(["--only", "run-cold"]).only == ["run-cold"]


def test_the_programs_start_from_any_directory(tmp_path: Path) -> None:
    import subprocess
    import sys

    project = Path(__file__).parents[2]
    for program in ("benchmarks/run.py", "conformance/run.py", "conformance/isolation.py", "conformance/coverage.py"):
        answer = subprocess.run(
            [sys.executable, str(project / program), "--help"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.startswith("usage: ")


def test_a_runtime_that_fails_is_left_out_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(Case):
        names = ("some",)

        def round(self, runtime: Runtime) -> dict[str, Measurement]:
            if runtime.name == "false":
                raise BenchmarkError("it broke")
            return {"some": Measurement(1)}

    runtimes, _ = find_runtimes(["/bin/true", "/bin/false"], str(tmp_path))
    found = Results([runtime.name for runtime in runtimes])
    run.measure_case(Failing(bundles=None, gap=0, work=""), ["some"], 3, runtimes, found)  # type: ignore[arg-type]
    assert {name: len(series.values) for name, series in found.series("some").items()} == {"true": 3}
    assert capsys.readouterr().out == "false cannot go on with some: it broke\n"

"""The benchmark of asking runs, both sides, and says what it promises."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_it_runs() -> None:
    options = ["--requests", "60", "--turns", "1", "--in-flight", "8", "--latency", "0.01", "--processes", "1"]
    command = [sys.executable, "-m", "benchmarks.teacher", *options]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    head, bare, ours, ratio = run.stdout.splitlines()
    assert head.startswith("60 requests, 8 in flight, 10 ms, 1 process(es) a side")
    for side, line in (("bare", bare), ("ours", ours)):
        assert re.match(rf"{side} +\d+ requests/s, \d+\.\d\d ms of processor a request .*MiB: peak \d+", line)
    assert re.match(r"ours / bare: \d+\.\d\d \(median of", ratio)

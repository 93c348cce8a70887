"""Shared by the runners of labelers: reads a job, labels its reports on one core, writes labels, prints time and memory.

Standard library only, because each runner has its own environment. A job is a JSON file with `reports` (JSON lines: report_id,
findings, impression, text), `phrases` (JSON lines: label, says, phrase), `sections` (to read), `out`, and further settings of a
runner. Report text is never printed.
"""

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

STRONGEST_FIRST = ("present", "uncertain", "absent")
Said = list[tuple[str, str]]  # (label, status) of each mention of a report


def aggregate(said: Said) -> dict[str, str]:
    """Returns the status of each mentioned label: the strongest of its mentions, as in ours."""
    found: dict[str, set[str]] = {}
    for label, status in said:
        found.setdefault(label, set()).add(status)
    return {label: next(status for status in STRONGEST_FIRST if status in of) for label, of in found.items()}


def text_of(report: dict[str, Any], sections: list[str]) -> str:
    """Returns the sections as one text, each ending with a full stop, so that no sentence spans two sections."""
    parts = [report[name].strip() for name in sections if report[name]]
    return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts)


def read_lines(path: str) -> list[dict[str, Any]]:
    # Not splitlines(): reports may hold line separators other than "\n".
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]


def run(prepare: Callable[[dict[str, Any]], Callable[[Iterable[dict[str, Any]]], Iterator[Said]]]) -> None:
    """Runs the job named on the command line. `prepare`: takes the job, returns a function from reports to mentions.

    Only the loop over the reports is timed, in processor time, so that other processes matter less. Prints one line of JSON:
    reports, mentions, seconds, peak MiB.
    """
    stay_on_one_core()
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    label = prepare(job)
    reports = read_lines(job["reports"])
    mentions, labels = 0, []
    began = time.process_time()
    for said in label(reports):
        mentions += len(said)
        labels.append(aggregate(said))
    seconds = time.process_time() - began
    lines = (json.dumps({"report_id": r["report_id"], "labels": of}) for r, of in zip(reports, labels, strict=True))
    Path(job["out"]).write_text("\n".join(lines), encoding="utf-8")
    print(json.dumps({"reports": len(reports), "mentions": mentions, "seconds": seconds, "peak_mib": peak_mib()}))


def stay_on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):  # Linux only
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def peak_mib() -> float:
    """Returns the peak resident memory of this process. On Linux ru_maxrss would include the parent's, from before exec."""
    status = Path("/proc/self/status")
    if status.exists() and (peak := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(peak[1]) / 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / (2**20 if sys.platform == "darwin" else 1024)

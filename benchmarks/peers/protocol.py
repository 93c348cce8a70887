"""What every runner of a labeler does alike: reads a job, labels its reports on one core, writes labels, tells time and memory.

Standard library only: runners live in environments of their own. A job is a JSON file with `reports` (JSON lines: report_id,
findings, impression, text), `phrases` (JSON lines: label, says, phrase), `sections` (those to read), `out`, and what else a
runner takes. Reports stay in the job's folder; nothing of them is printed.
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
    """The status of each label that was mentioned: the strongest of its mentions, as in ours."""
    found: dict[str, set[str]] = {}
    for label, status in said:
        found.setdefault(label, set()).add(status)
    return {label: next(status for status in STRONGEST_FIRST if status in of) for label, of in found.items()}


def text_of(report: dict[str, Any], sections: list[str]) -> str:
    """The sections as one text, a full stop between them where the first lacks one, so that no sentence spans both."""
    parts = [report[name].strip() for name in sections if report[name]]
    return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts)


def read_lines(path: str) -> list[dict[str, Any]]:
    # Not splitlines(): reports may hold line separators other than "\n".
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]


def run(prepare: Callable[[dict[str, Any]], Callable[[Iterable[dict[str, Any]]], Iterator[Said]]]) -> None:
    """Runs the job named on the command line: `prepare` takes it and hands back what turns reports into mentions.

    Only the loop over the reports is timed, in processor time, which other processes on the machine do not stretch. Prints one
    line of JSON: reports, mentions, seconds, peak MiB.
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
    """Peak resident memory of this process. Linux counts ru_maxrss from the fork on, when the parent's memory was ours."""
    status = Path("/proc/self/status")
    if status.exists() and (peak := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(peak[1]) / 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / (2**20 if sys.platform == "darwin" else 1024)

"""Fails unless a metrics file holds every figure of the default run, each a finite number: python .ci/complete.py FILE."""

import json
import math
import sys
from pathlib import Path
from typing import Any

from raddistill.tasks.names import TASKS

MEASURES = [
    "reports", "micro_f1", "micro_f1_low", "micro_f1_high", "macro_f1", "precision", "recall", "specificity_normal",
    "mask_absent_micro_f1", "mask_present_micro_f1", "unparsed",
]  # fmt: skip
TEACHER = [*MEASURES, "uncertain_is_present", "uncertain_present_micro_f1", "uncertain_absent_micro_f1"]
GAIN = ["reports", "micro_f1", "low", "high"]
PARTS = {"student": MEASURES, "teacher": TEACHER, "linear": MEASURES, "base": MEASURES, "gain": GAIN, "gain_over_linear": GAIN}
WHERE_THERE = {"teacher_whole": TEACHER, "gain_over_teacher_whole": GAIN, "gain_over_graded": GAIN}  # of some teachers only
MAY_LACK = {("base", "precision")}  # an untouched base may call nothing present: then it has none


def wrong(metrics: dict[str, Any]) -> list[str]:
    """What is missing or no finite number, by its dotted name; also intervals that do not hold their figure."""
    wanted = [(task, (key,)) for task in TASKS for key in ("reports", "positives")]
    parts = {task: PARTS | {part: keys for part, keys in WHERE_THERE.items() if part in metrics.get(task, {})} for task in TASKS}
    wanted += [
        (task, (part, key)) for task in TASKS for part, keys in parts[task].items() for key in keys if (part, key) not in MAY_LACK
    ]
    found = []
    for task, keys in wanted:
        value: Any = metrics.get(task, {})
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            found.append(".".join((task, *keys)))
    if found:
        return found
    for task in TASKS:
        for part in parts[task]:
            figures = metrics[task][part]
            low, high = (figures.get(f"micro_f1_{end}", figures.get(end)) for end in ("low", "high"))
            if not low <= figures["micro_f1"] <= high:
                found.append(f"{task}.{part}.micro_f1 is outside of its interval")
        if not metrics[task]["reports"] or not metrics[task]["positives"]:
            found.append(f"{task}: nothing was scored")
    return found


if __name__ == "__main__":
    told = wrong(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    sys.exit(f"{sys.argv[1]} is incomplete: {', '.join(told)}" if told else 0)

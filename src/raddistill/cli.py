"""The command line beside `dvc`: named settings, the table of results, and whether dvc.lock is up to date.

What shapes a result stays in params.yaml and what runs it stays with DVC; nothing here runs a stage.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from raddistill import errors, params, paths
from raddistill.errors import InputError

PRESETS = Path("presets")
ARMS = ["base", "linear", "teacher", "student"]

app = typer.Typer(
    name="raddistill",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold report text
    rich_markup_mode="markdown",
    help="""Teaches a small LLM to read radiology reports from a noisy teacher's labels, and measures it against people's.

    The pipeline is run by DVC, from the root of the project:

    - `dvc repro` — everything that is out of date (`make repro` installs first)
    - `dvc exp run -S train.learning_rate=0.0005 evaluate` — another setting, up to validation
    - `dvc exp run $(raddistill preset quick)` — a named one
    - `dvc metrics diff`, `dvc params diff`, `dvc exp show` — what it changed
    - `raddistill results` — the table of the last run
    """,
)


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="One of those that --list shows.")] = "",
    show: Annotated[bool, typer.Option("--list", help="Names and what they are for.")] = False,
) -> None:
    """Prints a named setting as overrides for DVC; two can stand one after the other, the later one wins.

    `dvc exp run $(raddistill preset quick)`

    `dvc exp run $(raddistill preset llama-3.1-8b) $(raddistill preset paper) evaluate`
    """
    known = sorted(file.stem for file in PRESETS.glob("*.yaml"))
    if show or not name:
        for each in known:
            print(f"{each:14} {params.read(PRESETS / f'{each}.yaml')['about']}")
        return
    if name not in known:
        raise InputError(f"there is no preset '{name}' in {PRESETS}/; there are: {', '.join(known)}")
    print(" ".join(f"-S {override}" for override in overrides(params.read(PRESETS / f"{name}.yaml")["params"])))


@app.command()
def results(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the table of the README.")] = False,
) -> None:
    """Prints the results on the test split, from metrics/final.json.

    `raddistill results`

    `dvc exp apply NAME && raddistill results`
    """
    metrics = _metrics(paths.FINAL_METRICS)
    if markdown:
        print(table(metrics))
        return
    import polars as pl  # not before: `preset` answers at once

    from raddistill.scoring import pages, scores

    no_rows = pl.DataFrame()
    pages.print_table(scores.Scored("test", metrics, per_label=no_rows, precision_recall=no_rows, reliability=no_rows))


@app.command()
def check() -> None:
    """Says whether dvc.lock belongs to the code and params that stand here; exits 1 and names what changed if not.

    Works in a fresh clone that has pulled no data.
    """
    told = subprocess.run([sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False)
    if told.returncode:
        raise InputError("`dvc status` failed; run it by itself to see why")
    changed = list(stale(json.loads(told.stdout)))
    for line in changed:
        print(line)
    if changed:
        raise InputError("dvc.lock is out of date: `dvc repro`, then commit dvc.lock and metrics/")
    print("dvc.lock is up to date")


def overrides(node: dict[str, Any], at: str = "") -> Iterator[str]:
    """`train.lora_rank=8`, ...: each leaf as an override in Hydra's grammar, which `dvc exp run -S` reads.

    No override holds a space: the shell splits `$(raddistill preset NAME)` there and takes no notice of quotes.
    """
    for key, value in node.items():
        name = f"{at}.{key}" if at else key
        if isinstance(value, dict):
            yield from overrides(value, name)
        else:
            yield f"{name}={_hydra(value)}"


def _hydra(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_hydra, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        return f"'{value}'"
    return str(value)


def stale(status: dict[str, Any]) -> Iterator[str]:
    """What of `dvc status --json` means another result; data that was merely not pulled does not."""
    for stage, changes in status.items():
        for change in changes:
            if isinstance(change, str):  # "changed command", "always changed"
                yield f"{stage}: {change}"
                continue
            for entries in change.values():
                for path, how in entries.items():
                    if isinstance(how, dict):
                        yield from (f"{stage}: {path}: {key} {what}" for key, what in how.items())
                    elif how in ("modified", "new"):
                        yield f"{stage}: {path} {how}"


def table(metrics: dict[str, Any]) -> str:
    """In Markdown, a line a task: reports, micro F1 of each arm, the gain over the teacher, both with 95 % intervals."""
    head = ["task", "reports", *ARMS, "gain over teacher"]
    lines = [head, ["---", *("---:" for _ in head[1:])]]
    for task, figures in metrics.items():
        arms = [_interval(figures, arm, "{micro_f1:.3f} ({micro_f1_low:.3f} to {micro_f1_high:.3f})") for arm in ARMS]
        gain = _interval(figures, "gain", "{micro_f1:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append([task, str(figures["reports"]), *arms, gain])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(figures: dict[str, Any], part: str, form: str) -> str:
    """A figure with its interval, its own number of reports where that is another, and "-" where it could not be computed."""
    of_part = figures.get(part, {})
    if "micro_f1" not in of_part:
        return "-"
    return form.format(**of_part) + (f" [{of_part['reports']}]" if of_part["reports"] != figures["reports"] else "")


def _metrics(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; `make repro` makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path} is not JSON; `git checkout {path}` or `dvc repro --force final`") from None


def main() -> None:
    """Entry point of the command `raddistill`."""
    errors.run(lambda *words: app(list(words)))


if __name__ == "__main__":
    main()

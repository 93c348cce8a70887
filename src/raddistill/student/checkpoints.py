"""Finds the checkpoint from which an interrupted training resumes: none that a kill, a full disk or a power cut damaged.

Cut files, zeros in place of weights and a state without its optimizer all look like checkpoints, and what reads them fails in a
dozen ways, or not at all. So a checkpoint ends with the hashes of its files, in the format of sha256sum.
"""

import json
import shutil
from pathlib import Path

from raddistill.files import sha256, write_whole

SEAL = "SHA256SUMS"
STATE = "trainer_state.json"  # by transformers


def place(folder: Path, step: int) -> Path:
    """The checkpoint of a step, where transformers puts it."""
    return folder / f"checkpoint-{step}"


def seal(checkpoint: Path) -> None:
    """Writes the hashes of all files of a checkpoint that is complete."""
    with write_whole(checkpoint / SEAL) as part:
        lines = [f"{sha256(file)}  {file.name}\n" for file in sorted(checkpoint.iterdir()) if file.name != SEAL]
        part.write_text("".join(lines), encoding="utf-8")


def damage(checkpoint: Path) -> str | None:
    """Returns what is wrong with a checkpoint; None where every file is as it was sealed."""
    try:
        lines = (checkpoint / SEAL).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return "was not written to its end"
    except UnicodeDecodeError:
        return f"has a damaged {SEAL}"
    sealed = [line.split("  ", 1) for line in lines]
    if not all(len(line) == 2 for line in sealed) or STATE not in (name for _, name in sealed):
        return f"has a damaged {SEAL}"
    for expected, name in sealed:
        if not (checkpoint / name).is_file():
            return f"lacks {name}"
        if sha256(checkpoint / name) != expected:
            return f"has a damaged {name}"
    return None


def newest_whole(folder: Path) -> Path | None:
    """Returns the newest checkpoint in `folder` that is whole, as is the best one before it; None where there is none.

    Training ends with the best checkpoint, so both are needed. Prints what is wrong with every other, and deletes the damaged
    ones: transformers would count them as kept.
    """
    found = [c for c in folder.glob("checkpoint-*") if c.name.removeprefix("checkpoint-").isdigit()]
    whole = []
    for checkpoint in sorted(found, key=_step):
        if wrong := damage(checkpoint):
            print(f"{checkpoint} {wrong}; deleted")
            shutil.rmtree(checkpoint)
        else:
            whole.append(checkpoint)
    for checkpoint in reversed(whole):
        best = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))["best_global_step"]
        if not best or place(folder, best) in whole:
            return checkpoint
        print(f"{checkpoint} cannot be gone on from: the best one before it, checkpoint-{best}, is gone; deleted")
        shutil.rmtree(checkpoint)
    if found:
        print(f"no checkpoint in {folder} is whole: the training starts anew")
    return None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))

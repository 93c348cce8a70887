"""Finds the checkpoint from which an interrupted training resumes, and deletes damaged ones.

A kill, a full disk or a power cut leaves truncated files, zeros instead of weights, or a state without optimizer. transformers
fails on them in many ways, or not at all. So a complete checkpoint is sealed with the hashes of its files, in sha256sum's format.
"""

import json
import shutil
from pathlib import Path

from raddistill.files import sha256, write_whole

SEAL = "SHA256SUMS"
STATE = "trainer_state.json"  # by transformers


def checkpoint_path(folder: Path, step: int) -> Path:
    """Returns where transformers writes the checkpoint of a step."""
    return folder / f"checkpoint-{step}"


def seal(checkpoint: Path) -> None:
    """Writes the hashes of all files of a complete checkpoint."""
    with write_whole(checkpoint / SEAL) as part:
        lines = [f"{sha256(file)}  {file.name}\n" for file in sorted(checkpoint.iterdir()) if file.name != SEAL]
        part.write_text("".join(lines), encoding="utf-8")


def damage(checkpoint: Path) -> str | None:
    """Returns what is wrong with a checkpoint; None if every file is as sealed."""
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


def newest_usable(folder: Path) -> Path | None:
    """Returns the newest checkpoint that a training can resume from, or None. Deletes those that none can resume from.

    Training ends by loading the best checkpoint, so a usable one and its best predecessor are both undamaged. Prints what is
    wrong with the others. transformers would count them as kept.
    """
    found = [c for c in folder.glob("checkpoint-*") if c.name.removeprefix("checkpoint-").isdigit()]
    whole = []
    for checkpoint in sorted(found, key=lambda c: int(c.name.removeprefix("checkpoint-"))):
        if wrong := damage(checkpoint):
            print(f"{checkpoint} {wrong}; deleted")
            shutil.rmtree(checkpoint)
        else:
            whole.append(checkpoint)
    for checkpoint in reversed(whole):
        best = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))["best_global_step"]
        if not best or checkpoint_path(folder, best) in whole:
            return checkpoint
        print(f"{checkpoint} cannot be resumed from: the best one before it, checkpoint-{best}, is gone; deleted")
        shutil.rmtree(checkpoint)
    if found:
        print(f"no checkpoint in {folder} is whole: the training starts anew")
    return None

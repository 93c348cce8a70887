"""An output that is written piece by piece and survives a kill: nothing of it is lost, nothing doubled, no half line stays.

OUTPUT.partial grows; OUTPUT.partial.json says how much of it counts, and of which settings and rows it was made. OUTPUT itself
appears when all is done. OUTPUT.quarantine.csv holds what could not be used: row, report_id and reason, never text.
"""

import csv
import hashlib
import io
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

from raddistill.errors import InputError
from raddistill.tables.piles import Batch, Reject

SECONDS = 0.5  # between two points to which a killed run can return
HEADER = b"row,report_id,reason\n"


class Unfinished:
    """The files of one output. Within its `with`, `add` for each batch; then `finish`. What is left early can be resumed."""

    def __init__(self, output: Path, shape: str, header: bytes, *, resume: bool, overwrite: bool) -> None:
        """`shape` is a hash of everything that shapes the output but the rows themselves; `header` its first bytes.

        Raises:
            InputError: files of an earlier run are in the way, or another run than this one made them.
        """
        self.output, self.quarantine = output, with_suffix(output, ".quarantine.csv")
        self._partial, self._state = with_suffix(output, ".partial"), with_suffix(output, ".partial.json")
        found = self._known(shape, resume=resume, overwrite=overwrite)
        self.rows: int = found["rows"]  # that are written or in quarantine
        self.digest: str = found["digest"]  # of these rows
        self.rejected: Counter[str] = Counter(found["rejected"])  # by reason
        self._shape = shape
        if not self.rows:
            _write(self._state, json.dumps(found))
        self._files = [
            self._open(self._partial, found["bytes"], header),
            self._open(self.quarantine, found["quarantine"], HEADER),
        ]
        self._saved = time.monotonic()

    def add(self, content: bytes, rejects: Iterable[Reject], rows: int, digest: str) -> None:
        """The lines of `rows` rows, and those of them that could not be used."""
        self._files[0].write(content)
        for reject in rejects:
            self._files[1].write(_line(reject))
            self.rejected[reject.reason] += 1
        self.rows, self.digest = self.rows + rows, digest
        if time.monotonic() - self._saved >= SECONDS:
            self._save(finished=False)

    def left(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches of the input after those that are done. What is passed over must be what was done then.

        Raises:
            InputError: it is not.
        """
        done, digest, rows = self.rows, "", 0
        wanted = self.digest
        for batch in batches:
            if rows >= done:
                yield batch
                continue
            rows, digest = rows + batch.rows, batch.digest
            if rows >= done and (rows, digest) != (done, wanted):
                break
        if (rows, digest) != (done, wanted):
            raise InputError(
                f"the input's first {done:,} rows are not those that were done; begin anew with --overwrite, not --resume"
            )

    def told(self) -> str:
        """One line on what was done, and one on what was put aside if anything was."""
        aside = self.rejected.total()
        done = f"{self.rows - aside:,} of {self.rows:,} reports labelled: {self.output}"
        reasons = "; ".join(f"{reason}: {n:,}" for reason, n in sorted(self.rejected.items()))
        return f"{done}\n{aside:,} put aside in {self.quarantine} ({reasons})" if aside else done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the files; as last saved if it was left by an error, which may have come in the middle of `add`."""
        try:
            if error[0] is None:
                self._save(finished=True)
        finally:
            for file in self._files:
                file.close()

    def finish(self, convert: Callable[[Path, Path], None] | None = None) -> None:
        """Makes OUTPUT appear; `convert(partial, target)` where it is of another form than what was written."""
        if not self.rejected:
            self.quarantine.unlink()
        if convert is None:
            os.replace(self._partial, self.output)
        else:
            converted = with_suffix(self.output, ".converted")
            convert(self._partial, converted)
            with converted.open("r+b") as file:
                os.fsync(file.fileno())
            os.replace(converted, self.output)
            self._partial.unlink()
        self._state.unlink()

    def _known(self, shape: str, *, resume: bool, overwrite: bool) -> dict[str, Any]:
        """What an earlier run left, or the state of none."""
        none = {"shape": shape, "rows": 0, "digest": "", "bytes": 0, "quarantine": 0, "rejected": {}, "finished": False}
        left = self._read_state() if resume else None
        was_finished = left is not None and left["finished"] and left["shape"] == shape  # killed as OUTPUT took its place
        if self.output.exists() and not overwrite and not was_finished:
            raise InputError(f"{self.output} is there already; --overwrite replaces it")
        if not self._partial.exists():
            return none
        if not resume and not overwrite:
            raise InputError(
                f"{self._partial} is there: a run that did not end left it. --resume goes on with it, --overwrite begins anew"
            )
        if not resume:
            return none
        if left is None:
            raise InputError(
                f"{self._state} is missing or damaged, so {self._partial} cannot be resumed; --overwrite without --resume"
            )
        if left["shape"] != shape:
            raise InputError(
                f"{self._partial} was made from another input, with other settings, another lexicon or another version; "
                "resume with the same command, or begin anew with --overwrite and without --resume"
            )
        return left

    def _read_state(self) -> dict[str, Any] | None:
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return state if isinstance(state, dict) and "finished" in state else None

    def _open(self, path: Path, size: int, header: bytes) -> BinaryIO:
        """The file, cut to the bytes that count."""
        if size and (not path.exists() or path.stat().st_size < size):
            raise InputError(f"{path} is missing or shorter than it was; begin anew with --overwrite and without --resume")
        file = path.open("r+b" if size else "wb")
        file.truncate(size)
        file.seek(size)
        if not size:
            file.write(header)
        return file

    def _save(self, finished: bool) -> None:
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        state = {
            "shape": self._shape, "rows": self.rows, "digest": self.digest, "bytes": self._files[0].tell(),
            "quarantine": self._files[1].tell(), "rejected": self.rejected, "finished": finished,
        }  # fmt: skip
        _write(self._state, json.dumps(state))
        self._saved = time.monotonic()


def with_suffix(path: Path, more: str) -> Path:
    """`labels.csv` and `.partial`: `labels.csv.partial`."""
    return path.with_name(path.name + more)


def _line(reject: Reject) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow([reject.row, reject.report_id or "", reject.reason])
    return out.getvalue().encode()


def _write(path: Path, content: str) -> None:
    unfinished = with_suffix(path, ".part")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def fingerprint(settings: dict[str, Any], *places: Path) -> str:
    """A hash of settings (plain values) and of the files and folders that shape a result."""
    told = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for place in places:
        files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
        for file in files:
            if file.suffix != ".pyc":
                told.update(hashlib.sha256(file.read_bytes()).digest() + file.relative_to(place).as_posix().encode())
    return told.hexdigest()

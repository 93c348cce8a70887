"""What goes wrong because of the user's files, params or machine, said so that she can mend it.

Messages name the file, the column or the key and say what to do next. They carry ids and counts, never report text.
A broken invariant of ours is an `assert`, bad rows go to quarantine; only the rest is an exception.
"""

import sys
from collections.abc import Callable


class RaddistillError(Exception):
    """Root of all errors that a user can mend."""


class ParamsError(RaddistillError):
    """A key of params.yaml is missing, unknown or of the wrong type."""


class InputError(RaddistillError):
    """A file that was handed in is missing, damaged or not of the expected form."""


class TableError(RaddistillError):
    """A table on disk does not follow its schema."""


def run(main: Callable[..., None]) -> None:
    """Runs a stage's `main` with the words of the command line; exits 1 with the message of a `RaddistillError`."""
    from raddistill import experiments

    try:
        experiments.tell_missed()
        main(*sys.argv[1:])
    except RaddistillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # no disk space, no permission: one line with the file, not a page of traceback
        print(f"{error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        sys.exit(1)

"""Errors that the user can fix: in files, params or on the machine.

A message names the file, column or key, and says what to do next. It contains ids and counts, never report text. Bad rows go to
quarantine instead, and a broken invariant is an `assert`.

    RaddistillError
        ParamsError   params.yaml
        InputError    files, folders and options
        TableError    tables between stages
"""

import sys
from collections.abc import Callable


class RaddistillError(Exception):
    """The base class of all errors that the user can fix."""


class ParamsError(RaddistillError):
    """A key of params.yaml is missing, unknown or of the wrong type."""


class InputError(RaddistillError):
    """A file or an option from the user is missing, damaged or wrong."""


class TableError(RaddistillError):
    """A table on disk does not follow its schema."""


def run(main: Callable[..., None]) -> None:
    """Runs `main` of a stage or a command with the arguments of the command line.

    A `RaddistillError` or an error of the operating system is printed as one line on standard error, with exit code 1.
    """
    from raddistill import untracked_files

    try:
        untracked_files.print_missing_files()
        main(*sys.argv[1:])
    except RaddistillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # such as no disk space or no permission
        print(f"{error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        sys.exit(1)

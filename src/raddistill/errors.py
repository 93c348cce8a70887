"""Errors that a user can mend: in her files, her params or on her machine.

A message names the file, the column or the key, and says what to do next. It holds ids and counts, never report text.
Bad rows go to quarantine, and a broken invariant is an `assert`; neither is such an error.

    RaddistillError
        ParamsError   params.yaml
        InputError    files, folders and options
        TableError    tables between stages
"""

import sys
from collections.abc import Callable


class RaddistillError(Exception):
    """The root of all errors that a user can mend."""


class ParamsError(RaddistillError):
    """A key of params.yaml is missing, unknown or of the wrong type."""


class InputError(RaddistillError):
    """A file or an option from the user is missing, damaged or not of the expected form."""


class TableError(RaddistillError):
    """A table on disk does not follow its schema."""


def run(main: Callable[..., None]) -> None:
    """Runs the `main` of a stage or a command with the words of the command line.

    A `RaddistillError`, or an error of the operating system, becomes one line on standard error and the exit code 1.
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

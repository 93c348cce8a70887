"""The checksum by which files are recognized: pinned downloads, base models, checkpoints."""

import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """Returns the SHA-256 of the file's content in hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()

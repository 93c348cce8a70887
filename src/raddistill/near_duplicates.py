"""Finds held-out texts that have a near duplicate in training: reports from a template make a split look easier than it is.

Two texts are near duplicates if the Jaccard index of their sets of lower-case words reaches a threshold. The comparison is exact,
so its time grows faster than the number of texts. On one core, 32,000 against 46,000 texts take 3 seconds (PadChest), 7,000
against 212,000 take 5 (MIMIC-CXR's own splits), and 267,000 against 624,000 take 100. Memory is 0.2 GB, and five bytes per word
of a text.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, count

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse  # type: ignore[import-untyped]

WORD = re.compile(r"\w+")
FREQUENT = 256  # the most frequent words have dense columns, which multiply faster; the others stay sparse
TRAINING_AT_ONCE, HELD_OUT_AT_ONCE = 32_768, 256  # texts compared at a time
Texts = Sequence[str] | pl.Series


def has_near_duplicate(texts: Texts, training: Texts, jaccard: float) -> npt.NDArray[np.bool_]:
    """Returns for each of `texts` whether its Jaccard index with any training text is at least `jaccard` (0 to 1)."""
    words = _word_sets(chain(texts, training))
    size = np.diff(words.indptr)
    held_out_size = size[: len(texts)]
    near = np.zeros(len(texts), dtype=bool)
    by_size = len(texts) + np.argsort(size[len(texts) :], kind="stable")
    n_parts = -(-len(by_size) // TRAINING_AT_ONCE)
    for n in range(n_parts):
        # Each part has training texts of all sizes, so the first part finds most near duplicates; found ones are skipped later.
        part = by_size[n::n_parts]
        order = np.argsort(-np.bincount(words[part].indices, minlength=words.shape[1]), kind="stable")
        dense, others = _columns(words[part], order)
        frequent, rare = np.ascontiguousarray(dense.T), others.T.tocsr()
        for length in np.unique(held_out_size[~near]):
            # shared / (length + size - shared) >= jaccard, solved for `shared`
            needed = np.ceil(jaccard * (length + size[part]) / (1 + jaccard) - 1e-9).astype(np.float32)
            possible = np.flatnonzero(needed <= np.minimum(length, size[part]))
            if not possible.size:
                continue
            window = slice(possible[0], possible[-1] + 1)
            left = np.flatnonzero(~near & (held_out_size == length))
            for start in range(0, len(left), HELD_OUT_AT_ONCE):
                rows = left[start : start + HELD_OUT_AT_ONCE]
                of_frequent, of_rare = _columns(words[rows], order)
                shared = of_frequent @ frequent[:, window] + (of_rare @ rare)[:, window]
                near[rows] = (shared >= needed[window]).any(axis=1)
    return near


def _word_sets(texts: Iterable[str]) -> sparse.csr_array:
    """Returns a matrix (texts x words) with 1 where the text contains the word."""
    column_of: defaultdict[str, int] = defaultdict(count().__next__)
    columns, ends = array("i"), array("q", [0])  # a list of Python ints would take eight times the memory
    for text in texts:
        columns.extend({column_of[word] for word in WORD.findall(text.lower())})
        ends.append(len(columns))
    ones = np.ones(len(columns), dtype=np.int8)
    return sparse.csr_array((ones, np.asarray(columns), np.asarray(ends)), shape=(len(ends) - 1, len(column_of)))


def _columns(words: sparse.csr_array, order: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.float32], sparse.csr_array]:
    """Returns the first FREQUENT columns in this `order` as a dense matrix, the others as a sparse one."""
    words = words.astype(np.float32)
    return words[:, order[:FREQUENT]].toarray(), words[:, order[FREQUENT:]]

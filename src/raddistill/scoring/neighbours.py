"""Which held-out reports nearly stand in training too: templates make a split look easier than it is."""

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import CountVectorizer

CHUNK = 64  # held-out reports at a time: 64 x 200,000 training texts are 100 MB


def has_near_neighbour(texts: list[str], training: list[str], jaccard: float) -> npt.NDArray[np.bool_]:
    """(texts,): whether any training text shares words by `jaccard` (0 to 1) or more, as sets of words in lower case. Exact."""
    near = np.zeros(len(texts), dtype=bool)
    if not texts or not training:
        return near
    words = CountVectorizer(binary=True, token_pattern=r"\w+", dtype=np.int32)  # noqa: S106
    words.fit([*texts, *training])
    held, trained = words.transform(texts), words.transform(sorted(set(training)))
    held_size, trained_size = np.asarray(held.sum(axis=1)), np.asarray(trained.sum(axis=1)).T
    for start in range(0, len(texts), CHUNK):
        shared = (held[start : start + CHUNK] @ trained.T).toarray()
        union = held_size[start : start + CHUNK] + trained_size - shared
        near[start : start + CHUNK] = (shared >= jaccard * union).any(axis=1)
    return near

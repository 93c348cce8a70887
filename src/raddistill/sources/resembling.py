"""How many held-out reports nearly stand in training: templates make a split look easier than it is."""

import hashlib
from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse  # type: ignore[import-untyped]

BANDS, ROWS = 16, 5  # of hashes: two texts of Jaccard 0.8 meet in some band with probability 1 - (1 - 0.8^5)^16 = 0.998
TOGETHER = 20_000  # texts, or pairs of them, whose words are looked at at a time
MEETING = 8  # training texts of a bucket that are looked at
Bools = npt.NDArray[np.bool_]


def near_training(reports: pl.DataFrame, jaccard: float) -> dict[str, int]:
    """Reports of validation and test whose set of words (lower case) is that of a training text by `jaccard` (0 to 1) or more.

    Training texts that are held out themselves do not count, as `merge` drops them: extracting.py counts those copies as leaks.
    A lower bound, nearly exact from 0.8 up (of pairs of 0.5 it finds four in ten): pairs are found by MinHash in bands (Broder
    1997), then compared word by word. Four bytes a word of a text are held, and no copy of the texts: 4.5 million reports (5 GB
    of CSV) take about 1 GB.
    """
    splits = reports.select("text_group", "split")
    texts = _distinct(reports.select("text_group", "text"))
    held_out = splits.filter(pl.col("split") != "train")["text_group"]
    trained = ~texts["text_group"].is_in(held_out.implode()).to_numpy()
    near = trained.copy()
    if trained.any() and not trained.all():
        words, vocabulary = _words(texts["text"])
        _mark(near, words, vocabulary, trained, jaccard)
    of = splits.join(texts.select("text_group").filter(pl.Series(near)), on="text_group", how="semi")
    return {split: of.filter(pl.col("split") == split).height for split in ("validation", "test")}


def _distinct(texts: pl.DataFrame) -> pl.DataFrame:
    """One text of each group, the first by the alphabet; sorted by group. Aggregating would copy those that stand alone, too."""
    several = pl.col("text_group").is_duplicated()
    alone, others = texts.filter(~several), texts.filter(several)
    return pl.concat([alone, others.group_by("text_group").agg(pl.col("text").min())]).sort("text_group")


def _words(texts: pl.Series) -> tuple[sparse.csr_matrix, list[str]]:
    """(texts, words) of ones, and the words. A text without words has none. A part of the texts at a time, as words take room."""
    said = pl.col("text").str.to_lowercase().str.extract_all(r"\w+").list.unique()
    column_of: dict[str, int] = {}
    columns, sizes = array("i"), []  # an array grows in its place, where joining parts would take twice the room
    for start in range(0, texts.len(), TOGETHER):
        some = pl.DataFrame({"text": texts[start : start + TOGETHER]}).with_row_index("row")
        pairs = some.select("row", word=said).explode("word").drop_nulls()
        words = pairs["word"].unique().sort()
        known = pl.DataFrame({"word": words, "column": [column_of.setdefault(word, len(column_of)) for word in words]})
        at = pairs.join(known, on="word").sort("row", "column")
        columns.frombytes(at["column"].to_numpy().astype(np.int32).tobytes())
        sizes.append(np.bincount(at["row"].to_numpy(), minlength=some.height))
    ends = np.cumsum(np.concatenate([[0], *sizes]))
    indices = np.frombuffer(columns, dtype=np.int32)
    ones = np.ones(len(indices), dtype=np.int8)
    return sparse.csr_matrix((ones, indices, ends), shape=(texts.len(), len(column_of))), list(column_of)


def _mark(near: Bools, words: sparse.csr_matrix, vocabulary: list[str], trained: Bools, jaccard: float) -> None:
    """Sets `near` for texts that share enough words with one of those `trained`, band by band."""
    hashes = np.array([int.from_bytes(hashlib.blake2b(w.encode(), digest_size=8).digest()) for w in vocabulary], dtype=np.uint64)
    generator = np.random.default_rng(0)
    size = np.diff(words.indptr)
    told = np.flatnonzero(size)  # texts with words
    for _ in range(BANDS):
        band = np.zeros(len(near), dtype=np.uint64)
        for factor, shift in generator.integers(0, 2**63, (ROWS, 2), dtype=np.uint64):
            mixed = (hashes + shift) * (factor | np.uint64(1))
            mixed = ((mixed ^ mixed >> np.uint64(29)) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)).astype(np.uint32)
            for some in _parts(told):
                first, last = words.indptr[some[0]], words.indptr[some[-1] + 1]
                least = np.minimum.reduceat(mixed[words.indices[first:last]], words.indptr[some] - first)
                band[some] = band[some] * np.uint64(0x100000001B3) + least
        pairs = _meet(band, told, trained, near)
        for one, other in zip(*map(_parts, pairs), strict=True):
            shared = np.asarray(words[one].multiply(words[other]).sum(axis=1)).ravel()
            near[one[shared >= jaccard * (size[one] + size[other] - shared)]] = True


def _parts(rows: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    return (rows[start : start + TOGETHER] for start in range(0, len(rows), TOGETHER))


def _meet(band: npt.NDArray[np.uint64], told: npt.NDArray[np.intp], trained: Bools, near: Bools) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a text that is not yet near and a training text whose bands are equal."""
    rows = pl.DataFrame({"row": told, "band": band[told], "trained": trained[told], "near": near[told]})
    some = rows.filter("trained").group_by("band", maintain_order=True).agg(pl.col("row").head(MEETING).alias("other"))
    pairs = rows.filter(~pl.col("near")).join(some, on="band").explode("other")
    return pairs["row"].to_numpy(), pairs["other"].to_numpy()

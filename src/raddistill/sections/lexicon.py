"""The words by which sections are found: headers, titles, parts of the findings, words about the chest.

They are text files in lexicon/sections that a clinician can edit. They cover the layouts of MIMIC-CXR, Open-i and CheXpert Plus,
and templates that hospitals publish.
"""

import difflib
import enum
import functools
import re
from pathlib import Path
from typing import NamedTuple

from raddistill import paths
from raddistill.errors import InputError
from raddistill.sections import word_lists
from raddistill.sections.word_lists import any_of

FINDINGS, IMPRESSION, BOTH, OTHER, EXAM = "findings", "impression", "findings_and_impression", "other", "exam"
NAMES = (
    FINDINGS, IMPRESSION, BOTH, "indication", "history", "comparison", "technique", EXAM, "addendum", "wet_read",
    "recommendation", OTHER,
)  # fmt: skip
# Names of sections until the findings have been found: a part of the findings, a title of views, an unknown header; and a
# summary, which is an impression, or, below an impression, a code (CheXpert Plus).
PART, VIEWS, UNKNOWN, SUMMARY = "part", "views", "unknown", "summary"
READING = frozenset({FINDINGS, BOTH, IMPRESSION, PART})  # sections that state what is seen

AROUND = " \t\r*#<>[]{}~|•▪●·"  # white space and markup around a header: "**FINDINGS**", "[FINDINGS]"
_AS_FOLLOWS = re.compile(r" (?:is |are )?as follows\Z")  # "findings are as follows"
_VERSION = re.compile(r" ?(?:version )?#? ?\d+\Z")  # "wet read version #2"; not "exam 2 views"
# Headers that the code names.
_NEEDED = ("addendum", "wet read", *(f"finding{s} and impression{es}" for s in ("", "s") for es in ("", "s")))
_CACHED = 1 << 14  # headers; they repeat from report to report


class Topic(enum.Enum):
    """What a sentence is about."""

    CHEST = enum.auto()
    PATIENT_OR_PRIOR = enum.auto()  # the patient, or other films
    OTHER = enum.auto()


@functools.lru_cache(maxsize=_CACHED)
def normalise(header: str) -> str:
    """Returns a header as the lexicon writes it: lower case, single spaces, "and" for "&", no "(s)", no version number."""
    found = " ".join(header.strip(AROUND).lower().replace("(s)", "s").replace("&", " and ").replace("+", " and ").split())
    if not found[1::2].strip():  # "F I N D I N G S"
        found = found.replace(" ", "")
    found = _AS_FOLLOWS.sub("", found).replace(" / ", "/").replace("/ ", "/").replace(" /", "/")
    return _VERSION.sub("", found)


class MainHeaders(NamedTuple):
    """Patterns of the main headers without a colon. The first group is the header."""

    bare: re.Pattern[str]
    bare_capitalised: re.Pattern[str]
    bare_within: re.Pattern[str]
    glued: re.Pattern[str]


def _main_headers(main: list[str]) -> MainHeaders:
    """Compiles the patterns from the lexicon's list of main headers."""
    listed = "|".join(sorted(main, key=len, reverse=True))
    capitals = f"FINDINGS? (?:AND|&) IMPRESSIONS?|{listed.upper()}"
    capitalised = "|".join(header.capitalize() for header in listed.split("|"))
    dash = r"[ \t]*[-–—;.=]+(?=\s|$)"
    sentence = r"(?=[A-Z][a-z]|\d{1,2}[.)]\s)"
    return MainHeaders(
        # At the beginning of a line, before a dash, COLON, a tab, some spaces, or a sentence: "FINDINGS The heart", "IMPRESSION
        # 1. Edema", "HISTORY     cough", "WET READ edema"; not "IMPRESSION of the hilum", "WET READ VERSION 2".
        bare=re.compile(
            rf"({capitals})(?:{dash}|[ \t]+COLON\b|[ \t]*\t[ \t]*(?![ \t:])| {{2,}}(?=[a-z])| {{3,}}(?![ :])|[ \t]*{sentence})"
            r"|(?:ADDENDUM|WET READ)(?=[ \t]+(?!VERSION|[ \t:]))"
        ),
        # "Findings - Clear."; not "Findings are", "History-taking".
        bare_capitalised=re.compile(rf"({capitalised})[ \t]*(?:[;=]|[-–—]+(?=\s|$))"),
        # After a sentence: the last of "The heart is large. IMPRESSION Large heart."; not "large. IMPRESSION of".
        bare_within=re.compile(rf"[.] +({capitals})(?:{dash}|[ \t]+{sentence})"),
        # Stuck to the end of a sentence: "cough.Findings", "effusionIMPRESSION", "XXXXFINDINGS"; not "otherfindings".
        glued=re.compile(rf"(?:(?<=[a-z.!?)>~|\\])(?=[A-Z][a-z])|(?=[A-Z]{{7}}))((?i:{listed}|addendum))[ \t]*\Z"),
    )


class SectionLexicon:
    """The word lists of a folder as patterns and look-up tables."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            InputError: a file is missing or malformed, or a header opens two sections. The message names the place.
        """
        self.folder = folder
        headers = self._lists("headers", *NAMES, SUMMARY, "person", "opens_report", "main", "without_capitals", "signature")
        titles, parts = self._lists("titles", "words", "chest"), self._lists("parts", "parts", "begin_findings")
        self.people = frozenset(headers["person"])
        sections = {name: headers[name] for name in (*NAMES, SUMMARY)} | {OTHER: headers[OTHER] + headers["person"]}
        self.known = {header: name for name, listed in sections.items() for header in listed}  # header to section
        if ambiguous := sorted(header for header in self.known if sum(header in listed for listed in sections.values()) > 1):
            raise InputError(f"{folder / 'headers.txt'}: '{ambiguous[0]}' opens two sections; keep one of the lines")
        if unknown := [header for header in (*headers["main"], *_NEEDED) if header not in self.known]:
            raise InputError(f"{folder / 'headers.txt'}: '{unknown[0]}' opens no section; add it to one")
        opens_report = dict.fromkeys(headers["opens_report"], EXAM)
        self.with_colon = self.known | opens_report
        # "SIGNED" alone on a line opens nothing.
        self.alone = {header: name for header, name in self.known.items() if name != OTHER} | opens_report
        self.main = _main_headers(headers["main"])
        self.without_capitals = re.compile(rf"{any_of(headers['without_capitals'])}\Z")
        self.signature = re.compile(any_of(headers["signature"]), re.IGNORECASE)
        self._title_words, self._shows_chest = frozenset(titles["words"]), re.compile(any_of(titles["chest"]))
        self._parts, self.begins_findings = re.compile(any_of(parts["parts"])), re.compile(any_of(parts["begin_findings"]))
        self._read_sentences()

    def _read_sentences(self) -> None:
        """Sets the patterns that distinguish sentences from headers, and sentences about the chest from others."""
        words = ("in_sentence", "begins_sentence", "ends_sentence", "message", "goes_on", "refers", "value")
        sentences, chest = self._lists("sentences", *words), self._lists("chest", "noun", "assertion", "begins_other", "other")
        begins, ends = any_of(sentences["begins_sentence"]), any_of(sentences["ends_sentence"])
        self._sentence = re.compile(rf"{any_of(sentences['in_sentence'])}|\A{begins}|{ends}\Z")
        self._message = re.compile(any_of(sentences["message"]))
        self.goes_on = frozenset(sentences["goes_on"])
        self.refers = re.compile(rf"{any_of(sentences['refers'])}\Z", re.IGNORECASE)
        self.value = re.compile(rf"\s*{any_of(sentences['value'])}", re.IGNORECASE)
        self._noun, self._assertion = re.compile(any_of(chest["noun"])), re.compile(any_of(chest["assertion"]))
        self._other = re.compile(rf"\A{any_of(chest['begins_other'])}|{any_of(chest['other'])}")

    def _lists(self, file: str, *sections: str) -> dict[str, list[str]]:
        return word_lists.load(self.folder / f"{file}.txt", sections)

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        """Pickles the folder only: another process reads it once, as compiled patterns are slow to pickle."""
        return load, (self.folder,)

    def is_title(self, words: str) -> bool:
        """Returns whether `words`, in lower case, are only words of titles, numbers and redactions."""
        stripped = (word.strip(".,:;()[]#") for word in re.split(r"[\s,/]+", words))
        return all(word in self._title_words or not any(map(str.isalpha, word)) for word in stripped)

    def is_prose(self, words: str, stops: bool = True) -> bool:
        """Returns whether `words` are sentences, not a title such as "Chest, two views.". `stops`: there must be a full stop."""
        return ("." in words or not stops) and len(words.split()) >= 2 and not self.is_title(words.lower())

    def topic(self, sentence: str) -> Topic:
        """Returns CHEST for a sentence that has a noun of the chest and an assertion about it."""
        lower = sentence.lower().lstrip("-–—•*·0123456789.) \t")
        if self._other.search(lower):
            return Topic.PATIENT_OR_PRIOR
        return Topic.CHEST if self._noun.search(lower) and self._assertion.search(lower) else Topic.OTHER

    @functools.lru_cache(maxsize=_CACHED)  # noqa: B019 - a process has one or two of these objects, for good
    def kind(self, header: str) -> str | None:
        """Returns what a header that `known` lacks opens: one of NAMES, PART, VIEWS, UNKNOWN; None for a sentence.

        `header`: capitals before a colon, normalised.
        """
        if not header.strip("x _"):  # redacted words
            return None
        if self._shows_chest.search(header) and self.is_title(header):
            return VIEWS
        if len(header.split()) > 9 or ". " in header or self._sentence.search(header):
            return None
        if longer := _LONGER.search(header):
            opened = BOTH if _TWO.match(header) else self.known.get(longer[0], "indication")
            return OTHER if self._message.search(header) else opened
        if self._parts.search(header) or header == "chest":
            return PART
        return self._misspelt(header) or UNKNOWN

    def _misspelt(self, header: str) -> str | None:
        """Returns what a misspelt header opens: "ndication", "impresson"; not "occlusion" or "compression"."""
        # The comparison takes a millisecond, so headers with numbers or names, which are new in every report, are skipped.
        if not 6 <= len(header) <= 30 or not header.replace(" ", "").isalpha():
            return None
        # 0.87 accepts one missing letter or two swapped ones; OCCLUSION and COMPRESSION stay apart (0.84, 0.86).
        near = difflib.get_close_matches(header, self.known, n=1, cutoff=0.87)
        return self.known[near[0]] if near else None


# Known headers with further words: "history and physical", "findings (chest)", "clinical question to answer", "ct findings"; not
# "prior history".
_LONGER = re.compile(
    r"\A(?:findings|impression|conclusion|addendum|recommendations?|indications?|history|comparisons?|technique|clinical"
    r"|reason)\b|\b(?:findings?|impressions?|conclusions?)\Z|\bimpression(?= and |/)"
)
# "findings (and impression)"; not "ct findings".
_TWO = re.compile(r"(?:findings?\b.*\b(?:impression|conclusion)|(?:impression|conclusion)s?\b.*\bfinding)")


@functools.cache
def load(folder: Path) -> SectionLexicon:
    """Returns the lexicon of a folder. Each process reads it once.

    Raises:
        InputError: as SectionLexicon.
    """
    return SectionLexicon(folder)


@functools.cache
def bundled() -> SectionLexicon:
    """Returns the lexicon that is shipped with the package."""
    return load(paths.shipped_lexicons() / "sections")

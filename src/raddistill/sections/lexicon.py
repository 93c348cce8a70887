"""Reads the words by which sections are found: headers, titles, parts of the findings, words about the chest.

They are text files in lexicon/sections that a clinician can edit: one word or phrase per line, under a [section]. They cover the
layouts of MIMIC-CXR, Open-i and CheXpert Plus, and templates that hospitals publish. The head of each file explains its format:
`(a|b)` is a or b, `(a|)` is a or nothing, `word*` is any word that begins with these letters, `*word*` any that contains them,
and ` ..` at the end stands for any further words. Blank lines and lines that begin with # are skipped.
"""

import difflib
import functools
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from raddistill import paths
from raddistill.errors import InputError

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
MOST_ALTERNATIVES = 1000  # phrases of one line
_GROUP, _REST = re.compile(r"\(([^()]*)\)"), " .."
_CACHED = 1 << 14  # headers; they repeat from report to report


@functools.lru_cache(maxsize=_CACHED)
def normalise(header: str) -> str:
    """Returns a header as the lexicon writes it: lower case, single spaces, "and" for "&", no "(s)", no version number."""
    found = " ".join(header.strip(AROUND).lower().replace("(s)", "s").replace("&", " and ").replace("+", " and ").split())
    if not found[1::2].strip():  # "F I N D I N G S"
        found = found.replace(" ", "")
    found = _AS_FOLLOWS.sub("", found).replace(" / ", "/").replace("/ ", "/").replace(" /", "/")
    return _VERSION.sub("", found)


class MainHeaders:
    """Patterns of the main headers without a colon. The first group is the header."""

    def __init__(self, main: list[str]) -> None:
        listed = "|".join(sorted(main, key=len, reverse=True))
        capitals = f"FINDINGS? (?:AND|&) IMPRESSIONS?|{listed.upper()}"
        capitalised = "|".join(header.capitalize() for header in listed.split("|"))
        dash = r"[ \t]*[-–—;.=]+(?=\s|$)"
        sentence = r"(?=[A-Z][a-z]|\d{1,2}[.)]\s)"
        # At the beginning of a line, before a dash, COLON, a tab, some spaces, or a sentence: "FINDINGS The heart", "IMPRESSION
        # 1. Edema", "HISTORY     cough", "WET READ edema"; not "IMPRESSION of the hilum", "WET READ VERSION 2".
        self.bare = re.compile(
            rf"({capitals})(?:{dash}|[ \t]+COLON\b|[ \t]*\t[ \t]*(?![ \t:])| {{2,}}(?=[a-z])| {{3,}}(?![ :])|[ \t]*{sentence})"
            r"|(?:ADDENDUM|WET READ)(?=[ \t]+(?!VERSION|[ \t:]))"
        )
        # "Findings - Clear."; not "Findings are", "History-taking".
        self.bare_capitalised = re.compile(rf"({capitalised})[ \t]*(?:[;=]|[-–—]+(?=\s|$))")
        # After a sentence: the last of "The heart is large. IMPRESSION Large heart."; not "large. IMPRESSION of".
        self.bare_within = re.compile(rf"[.] +({capitals})(?:{dash}|[ \t]+{sentence})")
        # Stuck to the end of a sentence: "cough.Findings", "effusionIMPRESSION", "XXXXFINDINGS"; not "otherfindings".
        self.glued = re.compile(rf"(?:(?<=[a-z.!?)>~|\\])(?=[A-Z][a-z])|(?=[A-Z]{{7}}))((?i:{listed}|addendum))[ \t]*\Z")


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
        self.main = MainHeaders(headers["main"])
        self.without_capitals = re.compile(rf"{_any_of(headers['without_capitals'])}\Z")
        self.signature = re.compile(_any_of(headers["signature"]), re.IGNORECASE)
        self._title_words, self._shows_chest = frozenset(titles["words"]), re.compile(_any_of(titles["chest"]))
        self._parts, self.begins_findings = re.compile(_any_of(parts["parts"])), re.compile(_any_of(parts["begin_findings"]))
        self._read_sentences()

    def _read_sentences(self) -> None:
        """Sets the patterns that distinguish sentences from headers, and sentences about the chest from others."""
        words = ("in_sentence", "begins_sentence", "ends_sentence", "message", "goes_on", "refers", "value")
        sentences, chest = self._lists("sentences", *words), self._lists("chest", "noun", "assertion", "begins_other", "other")
        begins, ends = _any_of(sentences["begins_sentence"]), _any_of(sentences["ends_sentence"])
        self._sentence = re.compile(rf"{_any_of(sentences['in_sentence'])}|\A{begins}|{ends}\Z")
        self._message = re.compile(_any_of(sentences["message"]))
        self.goes_on = frozenset(sentences["goes_on"])
        self.refers = re.compile(rf"{_any_of(sentences['refers'])}\Z", re.IGNORECASE)
        self.value = re.compile(rf"\s*{_any_of(sentences['value'])}", re.IGNORECASE)
        self._noun, self._assertion = re.compile(_any_of(chest["noun"])), re.compile(_any_of(chest["assertion"]))
        self._other = re.compile(rf"\A{_any_of(chest['begins_other'])}|{_any_of(chest['other'])}")

    def _lists(self, file: str, *sections: str) -> dict[str, list[str]]:
        return _load_lists(self.folder / f"{file}.txt", sections)

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

    def topic(self, sentence: str) -> Literal["chest", "other films", None]:
        """Returns "chest" for a sentence that asserts something of it, "other films" also for one about the patient."""
        lower = sentence.lower().lstrip("-–—•*·0123456789.) \t")
        if self._other.search(lower):
            return "other films"
        return "chest" if self._noun.search(lower) and self._assertion.search(lower) else None

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


# Known headers with further words: "history and physical", "findings (chest)", "ct findings"; not "prior history".
_LONGER = re.compile(
    r"\A(?:findings|impression|conclusion|addendum|recommendations?|indications?|history|comparisons?|technique|clinical"
    r"|reason)\b|\b(?:findings?|impressions?|conclusions?)\Z|\bimpression(?= and |/)"
)
# "findings (and impression)"; not "ct findings".
_TWO = re.compile(r"(?:findings?\b.*\b(?:impression|conclusion)|(?:impression|conclusion)s?\b.*\bfinding)")


@functools.cache
def load(folder: Path) -> SectionLexicon:
    """Returns the lexicon of a folder. Each process reads it once. Raises InputError as SectionLexicon does."""
    return SectionLexicon(folder)


@functools.cache
def bundled() -> SectionLexicon:
    """Returns the lexicon that is shipped with the package."""
    return load(paths.shipped_lexicons() / "sections")


def _load_lists(path: Path, sections: Iterable[str]) -> dict[str, list[str]]:
    """Returns the phrases of each section in order, with all alternatives expanded."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    found: dict[str, list[str]] = {}
    name = ""
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            name = line[1:-1]
            if line != f"[{name}]" or name not in sections or name in found:
                raise InputError(f"{path}, line {number}: {line} is none of the sections {', '.join(sections)}, or is repeated")
            found[name] = []
            continue
        phrases, reason = _expanded(line)
        if not name:
            reason = "it is above the first [section]"
        elif again := next((phrase for phrase in phrases if phrase in found[name]), None):
            reason = f"'{again}' is there already"
        if reason:
            raise InputError(f"{path}, line {number}: {reason}")
        found[name] += phrases
    if empty := [name for name in sections if not found.get(name)]:
        raise InputError(f"{path} has no phrases of [{empty[0]}]; add the section with one phrase per line")
    return found


def _expanded(line: str) -> tuple[list[str], str]:
    """Returns the phrases of a line, and an error message ("" if it is well-formed)."""
    literals, groups = _GROUP.split(line)[::2], [group.split("|") for group in _GROUP.findall(line)]
    if any(mark in literal for literal in literals for mark in "()|"):
        return [], "each ( needs its ), with | between alternatives, and none within another"
    made = itertools.product(*groups)
    phrases = ["".join(itertools.chain(*itertools.zip_longest(literals, chosen, fillvalue=""))) for chosen in made]
    if any(phrase != " ".join(phrase.split()).lower() for phrase in phrases):
        return [], "phrases are in lower case, with one space between words"
    return phrases, "" if len(phrases) <= MOST_ALTERNATIVES else f"more than {MOST_ALTERNATIVES} alternatives"


def _any_of(phrases: Iterable[str]) -> str:
    """Returns a regular expression for any of the phrases, as whole words unless a `*` or ` ..` allows more."""
    by_edges: dict[tuple[str, str], list[str]] = {}
    for phrase in phrases:
        word = phrase.removesuffix(_REST).strip("*")
        begins = r"\b" if word[0].isalnum() and not phrase.startswith("*") else ""
        ends = " .*" if phrase.endswith(_REST) else r"\w*" if phrase.endswith("*") else r"\b" if word[-1].isalnum() else ""
        by_edges.setdefault((begins, ends), []).append(re.escape(word))
    # One group for all phrases with the same edges is several times as fast as edges around each phrase.
    groups = [f"{begins}(?:{'|'.join(words)}){ends}" for (begins, ends), words in by_edges.items()]
    return f"(?:{'|'.join(groups)})"

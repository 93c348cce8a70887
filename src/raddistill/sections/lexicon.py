"""Words of headers: what each known one opens (`KNOWN`), and what capitals before a colon are that it does not hold (`kind`).

The words are those of the layouts of MIMIC-CXR, Open-i and CheXpert Plus, and of templates that hospitals publish.
"""

import difflib
import functools
import re

FINDINGS, IMPRESSION, BOTH, OTHER, EXAM = "findings", "impression", "findings_and_impression", "other", "exam"
# What sections are until it is known where the findings are: part of them, title of views, or a header that nobody knows; and
# a summary, which is an impression, but below one a code (CheXpert Plus).
PART, VIEWS, UNKNOWN, SUMMARY = "part", "views", "unknown", "summary"
SAID = frozenset({FINDINGS, BOTH, IMPRESSION, PART})  # sections that say what is seen

PEOPLE = ("radiologist", "attending", "attending radiologist", "attending physician", "resident", "transcriptionist")
_FINDINGS = ("findings", "finding", "results", "result", "observations", "report")
_IMPRESSION = ("impression", "impressions", "conclusion", "conclusions", "opinion", "assessment", "summary")
_WITH_IMPRESSION = ("plan", "recommendation", "recommendations", "diagnosis", "summary")
KNOWN_AS = {
    FINDINGS: (*_FINDINGS, "radiographic findings", "imaging findings", "chest findings", "interpretation"),
    IMPRESSION: (
        *_IMPRESSION, "imp", "impr", "diagnosis",
        "result impression", "final impression", "overall impression", "radiological impression", "diagnostic impression",
        "final diagnosis", "radiological diagnosis", "radiologic diagnosis", "overall assessment",
        *(f"{one}{joint}{other}" for one in _IMPRESSION for joint in (" and ", "/") for other in _WITH_IMPRESSION),
    ),
    BOTH: tuple(
        f"{one}{joint}{other}"
        for joint in (" and ", "/", ", ", "-")
        for finding in _FINDINGS[:2]
        for impression in _IMPRESSION[:4]
        for one, other in ((finding, impression), (impression, finding))
    ),
    "indication": (
        "indication", "indications", "indic", "clinical indication", "clinical indications", "exam indication",
        "indication for exam", "indications for exam", "indication for study", "history/indication", "indication/history",
        "reason", "reason for exam", "reason for the exam", "reason for examination", "reason for the examination",
        "reason for this examination", "reason for study", "reason for order",
        "clinical information", "clinical info", "clinical data", "clinical details", "clinical question", "clinical concern",
        "clinical impression", "clinical statement", "patient complaint",
    ),
    "history": (
        "history", "hx", "clinical history", "clinical hx", "medical history", "past medical history", "patient history",
        "brief history", "history of present illness", "surgical history", "past surgical history", "family history",
        "social history",
    ),
    "comparison": (
        "comparison", "comparisons", "comp", "comparison exam", "comparison study", "comparison studies", "comparison film",
        "comparison films", "compared to", "compared with", "prior", "priors", "prior study", "prior studies", "correlation",
    ),
    "technique": (
        "technique", "techniques", "imaging technique", "technical factors", "protocol", "procedure", "procedures",
        "procedure comments", "number of views",
    ),
    EXAM: (
        "exam", "exams", "examination", "examinations", "study", "type of exam", "type of examination", "exam type",
        "study type", "exam date", "date of exam", "study date", "title",
    ),
    "addendum": ("addendum", "addenda", "final addendum", "addendum report"),
    "wet_read": ("wet read", "wet reading", "wetread", "preliminary read", "preliminary reading", "preliminary report"),
    "recommendation": ("recommendation", "recommendations", "recommend", "plan", "follow up", "followup", "follow-up"),
    OTHER: (
        *PEOPLE, "primary interpreting staff", "signature", "signed", "dictated", "attestation",
        "signed by", "electronically signed by", "dictated by", "transcribed by", "reviewed by", "interpreted by",
        "approved by", "reported by", "read by", "verified by",
        "notification", "notifications", "communication", "critical result", "critical results",
        "accession number", "primary diagnostic code", "report status", "end of impression",
    ),
}  # fmt: skip
NAMES = tuple(KNOWN_AS)  # of all sections
KNOWN = {header: name for name, headers in KNOWN_AS.items() for header in headers} | {SUMMARY: SUMMARY}
# Lines that open a report; what follows is its title, if anything.
_OPEN_REPORT = (
    "final report", "radiology report", "chest radiograph report", "narrative", "narrative and impression", "result narrative",
    "full result", "final result", "end of addendum",
)  # fmt: skip
WITH_COLON = KNOWN | dict.fromkeys(_OPEN_REPORT, EXAM)
# "SIGNED" alone on a line opens nothing.
ALONE = {header: name for header, name in KNOWN.items() if name != OTHER} | dict.fromkeys(_OPEN_REPORT, EXAM)

AROUND = " \t\r*#<>[]{}~|•▪●·"  # white space and the marks of other systems around a header: "**FINDINGS**", "[FINDINGS]"
_AS_FOLLOWS = re.compile(r" (?:is |are )?as follows\Z")  # "findings are as follows"
_VERSION = re.compile(r" ?(?:version )?#? ?\d+\Z")  # "wet read version #2"; not "exam 2 views"


@functools.lru_cache(maxsize=1 << 14)
def key(said: str) -> str:
    """The header as KNOWN has it: lower case, single spaces, "and" for "&", without "(s)" or the number of a version."""
    found = " ".join(said.strip(AROUND).lower().replace("(s)", "s").replace("&", " and ").replace("+", " and ").split())
    if not found[1::2].strip():  # "F I N D I N G S"
        found = found.replace(" ", "")
    found = _AS_FOLLOWS.sub("", found).replace(" / ", "/").replace("/ ", "/").replace(" /", "/")
    return _VERSION.sub("", found)


LONGEST_HEADER = 60  # characters


def length_of_header(cell: str, name: str) -> int:
    """Returns how many characters a header takes that says again what the column `name` holds; 0 where there is none."""
    said, colon, _ = cell[:LONGEST_HEADER].partition(":")
    return len(said) + 1 if colon and KNOWN.get(key(said)) == name else 0


# "chest, pa and lateral" is a title of views; "decubitus" alone is none.
_SHOWS_CHEST = re.compile(r"\b(?:chest|cxr|radiographs?|x-?rays?|films?|views?)\b")
# "there is a new finding" is a sentence, and "negative for" begins one; "lungs" is none.
_SENTENCE = re.compile(
    r"\b(?:is|are|was|were|the|there|no|with|has|have|following|this|these|due|may|compared)\b"
    r"|\A(?:negative|positive|without|absent|denies|denied|excluded|ruled out|not|present|confirmed)\b|\b(?:for|of|from|to)\Z"
)
# Known headers with more words: "history and physical", "findings (chest)", "clinical question to answer", "ct findings"; not
# "prior history".
_LONGER = re.compile(
    r"\A(?:findings|impression|conclusion|addendum|recommendations?|indications?|history|comparisons?|technique|clinical"
    r"|reason)\b|\b(?:findings?|impressions?|conclusions?)\Z|\bimpression(?= and |/)"
)
# "findings (and impression)"; not "ct findings".
_TWO = re.compile(r"(?:findings?\b.*\b(?:impression|conclusion)|(?:impression|conclusion)s?\b.*\bfinding)")
# "findings called to dr. a" opens no findings.
_TOLD = re.compile(r"\b(?:discussed|called|communicated|conveyed|relayed|notified)\b")
# Parts of the findings: "lines/tubes", "heart and mediastinum", "note"; not "dose table".
_PARTS = re.compile(
    r"\b(?:lungs?|hearts?|cardi\w*|mediastin\w*|pleura\w*|bon(?:e|es|y)|osseous|skelet\w*|musculoskeletal|tubes?|lines?|devices?"
    r"|hardware|catheters?|support|air ?space\w*|airways?|(?:hemi)?diaphragms?|abdom\w*|soft tissues?|hil(?:a|um|ar)|vascul\w*"
    r"|vessels?|aort\w*|spine|ribs?|trache\w*|thora\w*|parenchyma|interstitium|upper|lower|right|left|bilateral|nodul\w*"
    r"|mass(?:es)?|effusions?|opacit\w*|consolidation|pneumothorax|edema|fractures?|atelectasis|pneumonia|lymph\w*|neck"
    r"|shoulders?|others?|clavicles?|scapulae?|humer\w+|pelvi\w+|hips?|nodes?|picc|ports?|drains?|ett|contours?|silhouette"
    r"|volumes?|miscellaneous|additional|notes?|comments?|chest wall|pacemaker|pacer|stomach|bowel|breasts?|size|granulom\w*"
    r"|calcif\w*|infiltrat\w*|post-?op\w*|surgical|degenerat\w*|emphysema\w*|scar\w*|stents?|valves?|hernias?|scoliosis|wires?"
    r"|interstitial|congest\w*|changes|diseases?|ptx|pna|chf|fx|collapse|embol\w*|adenopathy)\b"
)


@functools.lru_cache(maxsize=1 << 14)
def kind(key: str) -> str | None:
    """What capitals before a colon are that KNOWN does not hold: one of NAMES, PART, VIEWS, UNKNOWN, or None (a sentence)."""
    if not key.strip("x _"):  # words taken out
        return None
    if _SHOWS_CHEST.search(key) and is_title(key):
        return VIEWS
    if len(key.split()) > 9 or ". " in key or _SENTENCE.search(key):
        return None
    if longer := _LONGER.search(key):
        named = BOTH if _TWO.match(key) else KNOWN.get(longer[0], "indication")
        return OTHER if _TOLD.search(key) else named
    if _PARTS.search(key) or key == "chest":
        return PART
    return _misspelt(key) or UNKNOWN


def _misspelt(key: str) -> str | None:
    """What the known header opens that these words nearly are: "ndication", "impresson"; not "occlusion" or "compression"."""
    # A millisecond each: not for what holds a number or a name, which is new in every report.
    if not 6 <= len(key) <= 30 or not key.replace(" ", "").isalpha():
        return None
    # 0.87 takes one letter that is missing or two that changed places; OCCLUSION and COMPRESSION stay apart (0.84, 0.86).
    near = difflib.get_close_matches(key, KNOWN, n=1, cutoff=0.87)
    return KNOWN[near[0]] if near else None


_TITLE = re.compile(  # each word of "portable ap chest, 5:20 a.m."; not "mass"
    r"(?:chest|radiograph(?:s|y|ic)?|x-?rays?|cxr|xr|films?|views?|pa|ap|lateral|left|right|portable|frontal|single|one|two|three"
    r"|upright|supine|(?:semi-?)?erect|semi-?upright|sitting|bedside|decubitus|examination|exam|study|series|of|the|and|a|in|at"
    r"|on|with|performed|obtained|dated|taken|were|was|is|[ap]\.?m|hours|hrs|hr|date|time|reference|plain|digital|upper|lower|ribs?"
    r"|abdomen|ct)\Z"
)


def is_title(words: str) -> bool:
    """Nothing but words of titles in lower case, numbers and redactions."""
    said = (word.strip(".,:;()[]#") for word in re.split(r"[\s,/]+", words))
    return all(_TITLE.match(word) or not any(map(str.isalpha, word)) for word in said)


def is_prose(words: str, stops: bool = True) -> bool:
    """Sentences (with their stops, if these are asked for), and not only a title such as "Chest radiograph, two views."."""
    return ("." in words or not stops) and len(words.split()) >= 2 and not is_title(words.lower())

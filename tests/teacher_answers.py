"""What the teacher server of the tests answers: a small deterministic rule that reads the report in the last user message.

`answer_for(body)` makes a whole chat completion, `decision_for(body)` a decision. With `fault`, one of `CONTENT_FAULTS`, the
answer is wrong in that way. Pure.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

# Of the 13 labels of chest_13, the stems that speak for each, and of open-ended conditions their codes.
LABELS = {
    "Atelectasis": r"atelecta\w*|volume loss",
    "Cardiomegaly": r"cardiomegaly|heart is (?:\w+ )?enlarged|enlarged heart|enlarged cardiac silhouette",
    "Consolidation": r"consolidation\w*",
    "Edema": r"edema|vascular congestion",
    "Enlarged Cardiomediastinum": r"widened mediastinum|mediastinum is (?:widened|enlarged)|mediastinal widening",
    "Fracture": r"fractur\w*",
    "Lung Lesion": r"nodules?|mass(?:es)?|granulomas?",
    "Lung Opacity": r"opacit\w*|opacification",
    "Pleural Effusion": r"effusions?",
    "Pleural Other": r"pleural thickening|pleural plaques?",
    "Pneumonia": r"pneumonia",
    "Pneumothorax": r"pneumothora\w*",
    "Support Devices": r"catheter|port|pacemaker|tube|central line|device",
}
CONDITIONS = {
    r"effusions?": ("pleural effusion", "J90"),
    r"pneumothora\w*": ("pneumothorax", "J93.9"),
    r"cardiomegaly|heart is (?:\w+ )?enlarged|enlarged heart": ("cardiomegaly", "I51.7"),
    r"atelecta\w*": ("atelectasis", "J98.11"),
    r"opacit\w*|opacification": ("lung opacity", "R91.8"),
    r"nodules?": ("lung nodule", "R91.1"),
    r"granulomas?": ("calcified granuloma", "J84.10"),
    r"edema": ("pulmonary edema", "J81.0"),
    r"pneumonia": ("pneumonia", "J18.9"),
    r"fractur\w*": ("rib fracture", "S22.39XA"),
    r"scoliosis": ("scoliosis", "M41.9"),
    r"aorta is tortuous|tortuous aorta": ("tortuous aorta", "I77.1"),
    r"hernia": ("hiatal hernia", "K44.9"),
}
DENIED = re.compile(r"\b(?:no|without|not|denies|free of|resolved)\b", re.IGNORECASE)
HEDGED = re.compile(r"\b(?:may|might|possible|possibly|probable|suspected|cannot be excluded|questionable)\b", re.IGNORECASE)

CONTENT_FAULTS = [
    "wrong_labels",
    "invented_quotes",
    "invalid_codes",
    "doubled_labels",
    "refusal",
    "empty",
    "length",
    "content_filter",
    "chatter",
]

STATUSES = ["present", "absent", "uncertain", "unmentioned"]
MODEL = "mock-1"
FINGERPRINT = "fp_teacher"
CACHED_PREFIX = 128  # tokens; prompt caches of the service work in steps of this many


class Item(NamedTuple):
    """One line of an answer before it is written down."""

    label: str
    code: str
    status: str
    quote: str


class Pairs(list[tuple[str, Any]]):
    """A JSON object whose names may occur twice."""


def dumps(value: Any) -> str:
    """JSON of nested Pairs, lists and scalars."""
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {dumps(inner)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(value)


def text_of(content: Any) -> str:
    """The text of a message's content, a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or [] if isinstance(part, dict))


REPORT = re.compile(r"<(report(?:-\d+)?)>\n?(.*)\n?</\1>", re.DOTALL)


def report_of(messages: list[dict[str, Any]]) -> str:
    """The report of the last user message that has one between <report> (or <report-1>, ...) tags, else the last user message."""
    users = [text_of(message.get("content")) for message in messages if message.get("role") == "user"]
    marked = next((found for found in map(REPORT.search, reversed(users)) if found), None)
    if marked:
        return marked[2]
    return users[-1] if users else ""


@lru_cache(4096)
def sentences(report: str) -> list[str]:
    """Verbatim pieces of the report."""
    pieces = re.split(r"(?<=[.!?])\s+|\n+|(?<=FINDINGS:)\s+|(?<=IMPRESSION:)\s+", report)
    return [piece.strip() for piece in pieces if piece.strip()]


def status_of(sentence: str) -> str:
    if DENIED.search(sentence):
        return "absent"
    return "uncertain" if HEDGED.search(sentence) else "present"


def found(pattern: str, report: str) -> tuple[str, str] | None:
    """Status and quote by the first sentence that speaks of it."""
    for sentence in sentences(report):
        if re.search(rf"\b(?:{pattern})\b", sentence, re.IGNORECASE):
            return status_of(sentence), sentence
    return None


def item_for(label: str, report: str) -> Item:
    """What the rule says of one label; unknown labels go by their last word."""
    name = label.replace("_", " ")
    known = next((pattern for other, pattern in LABELS.items() if other.lower() == name.lower()), None)
    hit = found(known or re.escape(name.split()[-1].lower() if name.split() else "nothing"), report)
    return Item(label, "", *hit) if hit else Item(label, "", "unmentioned", "")


def conditions(report: str) -> list[Item]:
    """What the rule finds for the open-ended task: phrases in the report's words, nothing that it denies."""
    items = []
    for pattern, (_, code) in CONDITIONS.items():
        hit = found(pattern, report)
        match = re.search(rf"\b(?:{pattern})\b", hit[1], re.IGNORECASE) if hit else None
        if hit and match and hit[0] != "absent":
            items.append(Item(match[0], code, *hit))
    return items


def spoil(items: list[Item], fault: str | None) -> list[Item]:
    """The items, wrong in the way asked for."""
    items = items or [Item("pleural effusion", "J90", "present", "x")] if fault in CONTENT_FAULTS[:4] else items
    first = next((i for i, item in enumerate(items) if item.status != "unmentioned"), 0)
    if fault == "wrong_labels":
        items = [*items[:first], items[first]._replace(label="Alien Finding", status="resolved"), *items[first + 1 :]]
    elif fault == "invented_quotes":
        status = "present" if items[first].status == "unmentioned" else items[first].status
        moon = "The moon is seen rising over the left clavicle."
        spoilt = items[first]._replace(status=status, quote=moon)
        spoilt = spoilt._replace(label=moon) if spoilt.code else spoilt  # open-ended: the phrase is the quote
        items = [*items[:first], spoilt, *items[first + 1 :]]
    elif fault == "invalid_codes":
        items = [*items[:first], items[first]._replace(code="Q99.999Z"), *items[first + 1 :]]
    elif fault == "doubled_labels":
        other = "absent" if items[first].status == "present" else "present"
        items = [*items, items[first]._replace(status=other, quote=items[first].quote or "x")]
    return items


# ------------------------------------------------------------------------------------------------- structured output


class Schema:
    """Fills a JSON schema with items, going by the names of its properties."""

    def __init__(self, schema: dict[str, Any], report: str, fault: str | None) -> None:
        self.root = schema
        self.report = report
        self.fault = fault

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema or "anyOf" in schema:
            if "$ref" in schema:
                node: Any = self.root
                for step in schema["$ref"].lstrip("#/").split("/"):
                    node = node[step]
                schema = node
            else:
                schema = next(option for option in schema["anyOf"] if option.get("type") != "null")
        return schema

    def answer(self) -> Any:
        return self.fill(self.root, None, "")

    def fill(self, schema: dict[str, Any], item: Item | None, name: str) -> Any:
        schema = self.resolved(schema)
        if schema.get("type") == "object":
            return self.object(schema, item)
        if schema.get("type") == "array":
            return self.array(schema)
        if schema.get("type") in ("number", "integer"):
            return 1
        if schema.get("type") == "boolean":
            return item is not None and item.status == "present"
        return self.scalar(schema, item, name)

    def scalar(self, schema: dict[str, Any], item: Item | None, name: str) -> str:
        choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
        if item is None and {"present", "absent"} <= set(choices):
            item = item_for(name, self.report)
        named = {"status": ["status"], "code": ["code", "icd"], "quote": ["quote", "evidence"], "label": ["label", "phrase"]}
        field = next((f for f, words in named.items() if any(word in name.lower() for word in words)), None)
        if field is None:
            field = "status" if {"present", "absent"} <= set(choices) else "label"
        return getattr(item, field) if item else ""

    def object(self, schema: dict[str, Any], item: Item | None) -> Pairs:
        properties = schema.get("properties", {})
        if item is not None:
            return Pairs((name, self.fill(inner, item, name)) for name, inner in properties.items())
        of_labels = {name: inner for name, inner in properties.items() if self.is_label(inner)}
        if not of_labels:
            return Pairs((name, self.fill(inner, None, name)) for name, inner in properties.items())
        items = spoil([item_for(name, self.report) for name in of_labels], self.fault)
        rest = Pairs((name, self.fill(inner, None, name)) for name, inner in properties.items() if name not in of_labels)
        kind = next(iter(of_labels.values()))
        return Pairs([*rest, *((one.label, self.fill(of_labels.get(one.label, kind), one, "status")) for one in items)])

    def is_label(self, schema: dict[str, Any]) -> bool:
        schema = self.resolved(schema)
        return "status" in schema.get("properties", {}) or {"present", "absent"} <= set(schema.get("enum", []))

    def array(self, schema: dict[str, Any]) -> list[Any]:
        inner = self.resolved(schema.get("items", {}))
        label = self.resolved(inner.get("properties", {}).get("label", {}))
        labelled = label.get("enum")
        items = [item_for(name, self.report) for name in labelled] if labelled else conditions(self.report)
        return [self.fill(inner, item, "") for item in spoil(items, self.fault)]


# ------------------------------------------------------------------------------------------------- plain text


def plain(messages: list[dict[str, Any]], fault: str | None) -> str:
    """`Label | status | "quote"` lines, or `phrase | code | status | "quote"` where the prompt speaks of codes."""
    report = report_of(messages)
    asked = "\n".join(text_of(message.get("content")) for message in messages if message.get("role") in ("system", "developer"))
    asked = asked or "\n".join(text_of(message.get("content")) for message in messages)
    if re.search(r"\|\s*<?(?:ICD[\w-]*\s*)?code", asked, re.IGNORECASE):
        quoted = re.search(r"code[^\n|]*\|\s*<?status>?\s*\|", asked, re.IGNORECASE) is not None
        lines = [
            f"{item.label} | {item.code} | {item.status}" + (f' | "{item.quote}"' if quoted else "")
            for item in spoil(conditions(report), fault)
        ]
        return "\n".join(lines) or "None"
    listed = [name for name in re.findall(r"^- (.+?): ", asked, re.MULTILINE) if name not in STATUSES]
    items = spoil([item_for(label, report) for label in listed or LABELS], fault)
    return "\n".join(f'{item.label} | {item.status} | "{item.quote}"' for item in items)


# ------------------------------------------------------------------------------------------------- whole answers


def tokens_of(text: str) -> list[str]:
    """A tokenisation of our own: words with the space before them, `un` apart from its word, marks one by one."""
    return re.findall(r" ?un(?=certain|mentioned)| ?[A-Za-z]+|\d{1,3}|\s+|.", text, re.DOTALL)


def share(*parts: object) -> float:
    """A number in [0, 1) from the hash of the parts."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def logprobs_of(text: str, top: int) -> dict[str, Any]:
    """Log probabilities a token: 0.7 to 1 for what was chosen, the rest shared by the statuses that were not."""
    content = []
    for at, token in enumerate(tokens_of(text)):
        chosen = 0.7 + 0.3 * share(text, at)
        others = [word for word in (" present", " absent", " un") if word.strip() != token.strip()]
        others = others if token.strip() in ("present", "absent", "un") else [" the", " a", " of"]
        others = others if token.startswith(" ") else [word.strip() for word in others]
        alternatives = [(token, chosen), *((word, (1 - chosen) / 2**n) for n, word in enumerate(others, 1))][:top]
        content.append(_token(token, chosen) | {"top_logprobs": [_token(*pair) for pair in alternatives]})
    return {"content": content, "refusal": None}


def _token(token: str, probability: float) -> dict[str, Any]:
    return {"token": token, "logprob": math.log(probability), "bytes": list(token.encode())}


@lru_cache(4096)
def count_tokens(text: str) -> int:
    return len(tokens_of(text))


def count_prompt(messages: Iterable[dict[str, Any]]) -> int:
    return sum(4 + count_tokens(text_of(message.get("content"))) for message in messages)


def usage_of(messages: Iterable[dict[str, Any]], text: str, cut_at: int | None = None) -> dict[str, Any]:
    """`cut_at`: a model that was cut off wrote as many tokens as it might, whatever is left of them in `text`."""
    prompt = count_prompt(messages)
    completion = cut_at or len(tokens_of(text))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": prompt // 2 // CACHED_PREFIX * CACHED_PREFIX, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def content_of(body: dict[str, Any], fault: str | None) -> str:
    """The text of the message."""
    messages = body.get("messages", [])
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return dumps(Schema(wanted["json_schema"]["schema"], report_of(messages), fault).answer())
    return plain(messages, fault)


def answer_for(body: dict[str, Any], fault: str | None = None) -> dict[str, Any]:
    """The whole chat completion that answers the body of a request, the same for the same body."""
    text: str | None = content_of(body, fault)
    assert text is not None
    finish, refusal = "stop", None
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or 10**9
    tokens = tokens_of(text)
    if fault == "length" or len(tokens) > limit:
        text, finish = "".join(tokens[: min(limit, len(tokens) * 2 // 3)]), "length"
    elif fault == "refusal":
        text, refusal = None, "I cannot help with that."
    elif fault == "empty":
        text = ""
    elif fault == "content_filter":
        text, finish = None, "content_filter"
    elif fault == "chatter":
        text = f"Sure! Here is what I found:\n{text}\nLet me know if you need more."
    cut_at = limit if finish == "length" and limit < 10**9 else None
    logprobs = logprobs_of(text or "", int(body.get("top_logprobs") or 0)) if body.get("logprobs") else None
    return {
        "id": "chatcmpl-" + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:24],
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body.get("model", MODEL),
        "system_fingerprint": FINGERPRINT,
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": refusal, "annotations": []},
                "logprobs": logprobs,
                "finish_reason": finish,
            }
        ],
        "usage": usage_of(body.get("messages", []), text or refusal or "", cut_at),
    }


def decision_for(body: dict[str, Any], fault: str | None = None) -> dict[str, Any]:
    """The decision on a body's predicates: a probability by the rule's status, with a jitter from the hash."""
    asked = body["input"]
    messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    report = report_of(messages)
    answers: list[dict[str, Any]] = []
    for question in body["questions"]:
        name = question.get("name")
        label = name or next((word for word in LABELS if word.lower() in text_of(question["instructions"]).lower()), "")
        worth = {"present": 0.9, "absent": 0.02, "uncertain": 0.5, "unmentioned": 0.05}[item_for(label, report).status]
        probability = round(min(1.0, worth + 0.05 * share(label, report)), 6)
        answers.append({"type": "predicate", "name": name, "probability": probability})
    if fault in ("refusal", "content_filter"):
        answers[0] = {"type": "refusal", "name": answers[0]["name"]}
    elif fault in ("empty", "length"):
        answers = []
    elif fault == "wrong_labels":
        answers[0]["name"] = "Alien Finding"
    elif fault == "doubled_labels":
        answers.append(answers[0])
    elif fault is not None:
        answers[0]["probability"] = 1.5
    prompt = count_prompt(messages)
    return {
        "answers": answers,
        "model": body["model"],
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": len(answers),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + len(answers),
        },
    }

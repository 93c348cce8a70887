"""Why a request brought no answer: read from the HTTP status, the headers and the error object, wherever a server puts it. Pure.

Routers answer HTTP 200 and put the error into the body, at its top or into the first choice; there it counts as the status that
it names. A server's message may repeat the prompt, so it is only searched for fixed words and is never kept or shown.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from raddistill.llm_client import rate_limit
from raddistill.llm_client.messages import FAILED, FILTER, FILTERED, LARGER_CONTEXT, finish_word

# Machine codes of HTTP 429 and 400. The last is a LiteLLM proxy's.
NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "budget_exceeded"}
NO_SUCH_KEY = {"no_db_connection"}  # HTTP 400 of a LiteLLM proxy without a database to any key but its master key
CHECK = {
    401: "the server takes no such key: check the key in the environment",
    402: "the server says that the account has no money left: top it up",
    403: "the key may not do this: check its project's rights, the model and the region",
    404: "there is no such model or address: check llm.model and the URL in the environment (most end in /v1)",
}
TOO_LONG, FLAGGED = "context_length_exceeded", "content_filter"  # OpenAI's codes, for all servers
SLOWER = "It limits the rate: lower asking.in_flight, or set asking.requests_per_minute to what it allows"
SHOWN = re.compile("[a-z_]{1,60}")  # of a server's codes, what may be shown
_MESSAGES = ("message", "msg", "detail")
_STATUSES = ("code", "status", "status_code")
_WAITS = ("retry-after", "retry-after-seconds", "retry-delay", "retrydelay")
_DEPTH = 5  # of an error object that is searched
_CONTEXT = re.compile(
    r"context.?(?:length|window|size|limit)|maximum (?:input|prompt|model) length|(?:prompt|input) is too long"
    r"|max_model_len|max_seq_len|max_new_tokens|tokens_limit_reached|too many (?:input |prompt )?tokens"
    r"|maximum number of (?:input )?tokens|must have less than \d+ tokens|range of input length"
    r"|reduce the length of the (?:messages|prompt|input)",
    re.IGNORECASE,
)
_FILTER = re.compile(  # not `flagged` alone, as an account may be as well
    r"content.?(?:filter|policy|management policy)|moderation|(?:input|prompt|request|content) (?:was|has been|is) flagged"
    r"|flagged.?input|content violates|responsible.?ai.?policy|guardrail.{0,20}interven"
    r"|data.?inspection.?failed|inappropriate content|sensitive content|content exists risk",
    re.IGNORECASE,
)
_KEY = re.compile(r"(?:invalid|incorrect).?api.?key|api.?key.{0,9}(?:not.?valid|invalid|expired)", re.IGNORECASE)
_MONEY = re.compile(
    r"insufficient.?(?:credit|balance|fund)|credit.?balance.{0,9}too low|(?:no|any|enough|out of) credits", re.IGNORECASE
)
_CAUSES: list[tuple[re.Pattern[str], int | str]] = [(_KEY, 401), (_MONEY, 402), (_CONTEXT, TOO_LONG), (_FILTER, FLAGGED)]
_MEANINGS = [  # words of codes, then of messages: the status that they stand for
    (re.compile(r"rate.?limit|too.?many.?requests|resource.?exhausted|throttl", re.IGNORECASE), 429),
    (_CONTEXT, 400),
    (_FILTER, 400),
    (_KEY, 401),
    (re.compile(r"authentication|unauthori[sz]ed", re.IGNORECASE), 401),
    (_MONEY, 402),
    (re.compile(r"model.?not.?found", re.IGNORECASE), 404),
    (re.compile(r"invalid.?(?:request|argument|parameter)|bad.?request", re.IGNORECASE), 400),
]


class RequestFailure(NamedTuple):
    """Why a request brought no answer."""

    reason: str  # for the quarantine
    again: bool  # worth another try
    charged: bool  # the server may have worked for it
    throttled: bool = False
    wait_s: float | None = None  # the server's wish
    headers: Mapping[str, str] | None = None
    stop: str | None = None  # the whole run makes no sense, and what to check
    advice: str | None = None  # for the user, where many questions in a row end so


def judge(status: int, headers: Mapping[str, str], error: object = None) -> RequestFailure:
    """What an HTTP status other than 200 means for the question and for the run. `error`: the error object of the body."""
    return _judge(f"HTTP {status}", status, headers, error)


def explain(body: object, headers: Mapping[str, str]) -> RequestFailure:
    """Why a reply with HTTP 200 holds no answer; `body` is None where it was no JSON."""
    error = error_in(body)
    if error is not None:
        status = _status_in(error)
        named = "an error" if status is None else f"error {status}"
        return _judge(f"HTTP 200 with {named}", status or 500, headers, error)
    if isinstance(body, dict) and "choices" in body and not body["choices"]:
        return RequestFailure("no choices in the reply", again=False, charged=False, headers=headers, advice=FILTER)
    if finish_word(str(_first_choice(body).get("finish_reason"))) in FILTERED:  # and no count of tokens: it cost nothing
        return RequestFailure("stopped by the content filter", again=False, charged=False, headers=headers, advice=FILTER)
    return RequestFailure("no answer: broken reply", again=True, charged=True, headers=headers)


def error_in(body: object) -> object:
    """The error that a body holds in place of an answer: an object or a message; None where there is none."""
    if isinstance(body, list) and len(body) == 1:  # Google's
        body = body[0]
    if not isinstance(body, dict):
        return None
    first = _first_choice(body)
    error = error_of(first) or error_of(body)
    if error is None and finish_word(str(first.get("finish_reason"))) in FAILED:
        return "error"
    if error is None and not {"choices", "answers"} & set(body) and any(isinstance(body.get(name), str) for name in _MESSAGES):
        return body
    return error


def _first_choice(body: object) -> Mapping[str, Any]:
    """Empty where there is none."""
    choices = body.get("choices") if isinstance(body, dict) else None
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def error_of(holder: Mapping[str, Any]) -> object:
    """The error of a body or of a choice; None where it has none, as some gateways send one of empty fields with every answer."""
    error = holder.get("error") or holder.get("errors")
    error = error[0] if isinstance(error, list) else error
    holds = error.strip() if isinstance(error, str) else isinstance(error, dict) and any(error.values())
    return error if holds else None


def codes_of(error: object) -> set[str]:
    """The machine codes of an error object."""
    found = [error.get(name) for name in ("code", "type", "status")] if isinstance(error, dict) else [error]
    return {code for code in found if isinstance(code, str) and re.fullmatch(r"[\w.-]{1,60}", code)}


def shown_code(codes: set[str]) -> str | None:
    """The code that says most, if one is fit to be shown; `invalid_request_error` says less than the code beside it."""
    fit = [code for code in codes if SHOWN.fullmatch(code)]
    return min(fit, key=lambda code: (code.endswith("_error"), code), default=None)


def _judge(named: str, status: int, headers: Mapping[str, str], error: object) -> RequestFailure:
    codes = codes_of(error)
    code = shown_code(codes)
    if NO_MONEY & codes:
        stop = f"the server says that the account has no money left ({code}): top it up"
        return RequestFailure("", again=False, charged=False, stop=stop)
    status = 401 if NO_SUCH_KEY & codes else status
    cause = _cause(error)
    final = not (status in {408, 409, 429} or status >= 500)
    if final and isinstance(cause, int):
        status = cause
    if status in CHECK and (status, cause) != (403, FLAGGED):
        return RequestFailure("", again=False, charged=False, stop=f"{named}{f', {code}' if code else ''}: {CHECK[status]}")
    if status < 400:
        return RequestFailure("", again=False, charged=False, stop=f"{named}, a redirect: check the URL in the environment")
    advice = f"Its context is too small: {LARGER_CONTEXT}" if cause == TOO_LONG else SLOWER if status == 429 else None
    if final:
        advice = FILTER if cause == FLAGGED else advice
        code = cause if isinstance(cause, str) else code
        reason = f"refused by the server: {named}{f', {code}' if code else ''}"
        again = headers.get("x-should-retry") == "true"
        return RequestFailure(reason, again=again, charged=False, headers=headers, advice=advice)
    wait = rate_limit.retry_after(headers)
    return RequestFailure(
        f"no answer: {named}",
        again=headers.get("x-should-retry") != "false",
        charged=False,
        throttled=status == 429,
        wait_s=next(_wishes(error), None) if wait is None else wait,
        headers=headers,
        advice=advice,
    )


def _cause(error: object) -> int | str | None:
    """What is wrong by the error's words: a status that stops the run, `TOO_LONG` or `FLAGGED`; None: something else."""
    return next((cause for words in _words(error) for pattern, cause in _CAUSES if pattern.search(words)), None)


def _words(error: object) -> list[str]:
    """What is searched for fixed words: the codes, the message, then the metadata of OpenRouter."""
    messages = [error.get(name) for name in _MESSAGES] if isinstance(error, dict) else [error]
    metadata = error.get("metadata") if isinstance(error, dict) else None
    if isinstance(metadata, dict):  # `raw`: what the provider behind it said; the name `flagged_input` tells of moderation
        messages += [metadata.get("raw"), *metadata]
    return [*sorted(codes_of(error)), *(message for message in messages if isinstance(message, str))]


def _status_in(error: object) -> int | None:
    """The HTTP status that an error object stands for, by its number or its words; None: it does not say."""
    for value in (error.get(name) for name in _STATUSES) if isinstance(error, dict) else ():
        number = int(value) if isinstance(value, str) and re.fullmatch(r"\d{3}", value, re.ASCII) else value
        if isinstance(number, int) and 400 <= number < 600:
            return number
    return next((status for words in _words(error) for pattern, status in _MEANINGS if pattern.search(words)), None)


def _wishes(error: object, depth: int = _DEPTH) -> Iterator[float]:
    """Seconds to wait that an error object names: routers put the header into its metadata, Google a delay into its details."""
    inner = error.items() if isinstance(error, dict) else enumerate(error) if isinstance(error, list) else ()
    for name, value in inner:
        key = str(name).lower().replace("_", "-")
        if key in _WAITS:
            seconds = rate_limit.parse_duration(str(value))
        elif key == "retry-after-ms":
            seconds = rate_limit.retry_after({key: str(value)})
        elif key == "x-ratelimit-reset" and re.fullmatch(r"\d{13}", str(value), re.ASCII):  # OpenRouter's: ms since 1970
            seconds = rate_limit.parse_duration(str(int(value) / 1000 - time.time()))
        else:
            seconds = None
        if seconds is not None:
            yield seconds
        elif depth and isinstance(value, dict | list):
            yield from _wishes(value, depth - 1)

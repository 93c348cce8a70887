"""Says why a request has no answer, from HTTP status, headers and error object. Pure.

Routers answer HTTP 200 with an error in the body, at its top or in the first choice; it is treated as the status that it names. A
server's message may repeat the prompt, so it is only searched for fixed words and never kept or shown.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from raddistill.llm_client import rate_limit
from raddistill.llm_client.messages import FAILED, FILTER, FILTERED, LARGER_CONTEXT, finish_word

# Error codes of HTTP 429 and 400. The last is of a LiteLLM proxy.
NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "budget_exceeded"}
NO_SUCH_KEY = {"no_db_connection"}  # HTTP 400 of a LiteLLM proxy without a database, for any key but its master key
CHECK = {
    401: "the server takes no such key: check the key in the environment",
    402: "the server says that the account has no money left: top it up",
    403: "the key may not do this: check its project's rights, the model and the region",
    404: "there is no such model or address: check llm.model and the URL in the environment (most end in /v1)",
}
TOO_LONG, FLAGGED = "context_length_exceeded", "content_filter"  # OpenAI's codes, used here for all servers
SLOWER = "It limits the rate: lower asking.in_flight, or set asking.requests_per_minute to what it allows"
SHOWN = re.compile("[a-z_]{1,60}")  # codes of a server that may be shown
_MESSAGES = ("message", "msg", "detail")
_STATUSES = ("code", "status", "status_code")
_WAITS = ("retry-after", "retry-after-seconds", "retry-delay", "retrydelay")
_DEPTH = 5  # levels of an error object that are searched
_CONTEXT = re.compile(  # the prompt is too long for the model
    r"context.?(?:length|window|size|limit)|maximum (?:input|prompt|model) length|(?:prompt|input) is too long"
    r"|max_model_len|max_seq_len|max_new_tokens|tokens_limit_reached|too many (?:input |prompt )?tokens"
    r"|maximum number of (?:input )?tokens|must have less than \d+ tokens|range of input length"
    r"|reduce the length of the (?:messages|prompt|input)",
    re.IGNORECASE,
)
_FILTER = re.compile(  # a content filter; not `flagged` alone, as accounts are flagged, too
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
_MEANINGS = [  # words in codes or messages, and the HTTP status that they stand for
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
    """Why a request has no answer, and what to do about it."""

    reason: str  # for the quarantine
    again: bool  # worth a retry
    charged: bool  # the server may charge for it
    throttled: bool = False  # HTTP 429
    retry_after_s: float | None = None  # seconds that the server asks to wait
    stop: str | None = None  # set if the whole run has to stop: what to check
    advice: str | None = None  # for the user, if many questions in a row fail like this


def explain(body: object, headers: Mapping[str, str]) -> RequestFailure:
    """Returns why a reply with HTTP 200 holds no answer. `body`: None if it was not JSON."""
    error = error_in(body)
    if error is not None:
        status = _status_in(error)
        named = "an error" if status is None else f"error {status}"
        return failure_of(status or 500, headers, error, f"HTTP 200 with {named}")
    if isinstance(body, dict) and "choices" in body and not body["choices"]:
        return RequestFailure("no choices in the reply", again=False, charged=False, advice=FILTER)
    if finish_word(str(_first_choice(body).get("finish_reason"))) in FILTERED:  # no token count, so not charged
        return RequestFailure("stopped by the content filter", again=False, charged=False, advice=FILTER)
    return RequestFailure("no answer: broken reply", again=True, charged=True)


def error_in(body: object) -> object:
    """Returns the error in a body without an answer: an object or a message; None if it has no error."""
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
    """The first choice of a body; empty if it has none."""
    choices = body.get("choices") if isinstance(body, dict) else None
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def error_of(holder: Mapping[str, Any]) -> object:
    """Returns the error of a body or choice; None if all its fields are empty: some gateways send that with every answer."""
    error = holder.get("error") or holder.get("errors")
    error = error[0] if isinstance(error, list) else error
    holds = error.strip() if isinstance(error, str) else isinstance(error, dict) and any(error.values())
    return error if holds else None


def codes_of(error: object) -> set[str]:
    """Returns the codes of an error object."""
    found = [error.get(name) for name in ("code", "type", "status")] if isinstance(error, dict) else [error]
    return {code for code in found if isinstance(code, str) and re.fullmatch(r"[\w.-]{1,60}", code)}


def shown_code(codes: set[str]) -> str | None:
    """Returns the most specific code that may be shown; `..._error` codes, such as `invalid_request_error`, come last."""
    fit = [code for code in codes if SHOWN.fullmatch(code)]
    return min(fit, key=lambda code: (code.endswith("_error"), code), default=None)


def failure_of(status: int, headers: Mapping[str, str], error: object = None, named: str = "") -> RequestFailure:
    """Returns what an HTTP status other than 200 means.

    `error`: the error object of the body. `named`: how messages name the status.
    """
    named = named or f"HTTP {status}"
    codes, cause = codes_of(error), _cause(error)
    code = shown_code(codes)
    if NO_MONEY & codes:
        return _stop(f"the server says that the account has no money left ({code}): top it up")
    if NO_SUCH_KEY & codes:
        status = 401
    final = status not in {408, 409, 429} and status < 500  # a retry cannot help
    if final and isinstance(cause, int):  # the words of a final error overrule its number
        status = cause
    if status in CHECK and (status, cause) != (403, FLAGGED):
        return _stop(f"{named}{f', {code}' if code else ''}: {CHECK[status]}")
    if status < 400:
        return _stop(f"{named}, a redirect: check the URL in the environment")
    advice = SLOWER if status == 429 else None
    if cause == TOO_LONG:
        advice = f"Its context is too small: {LARGER_CONTEXT}"
    if final:
        code = cause if isinstance(cause, str) else code
        reason, again = f"refused by the server: {named}{f', {code}' if code else ''}", headers.get("x-should-retry") == "true"
        return RequestFailure(reason, again, charged=False, advice=FILTER if cause == FLAGGED else advice)
    wait = rate_limit.retry_after(headers)
    wait = next(_retry_delays(error), None) if wait is None else wait
    again = headers.get("x-should-retry") != "false"
    return RequestFailure(f"no answer: {named}", again, charged=False, throttled=status == 429, retry_after_s=wait, advice=advice)


def _stop(what_to_check: str) -> RequestFailure:
    return RequestFailure("", again=False, charged=False, stop=what_to_check)


def _cause(error: object) -> int | str | None:
    """The cause in the error's words: a status that stops the run, `TOO_LONG` or `FLAGGED`; None: something else."""
    return next((cause for words in _words(error) for pattern, cause in _CAUSES if pattern.search(words)), None)


def _words(error: object) -> list[str]:
    """The texts that are searched for fixed words: codes, message, then OpenRouter's metadata."""
    messages = [error.get(name) for name in _MESSAGES] if isinstance(error, dict) else [error]
    metadata = error.get("metadata") if isinstance(error, dict) else None
    if isinstance(metadata, dict):  # `raw`: the error of the provider behind it; the key `flagged_input` means moderation
        messages += [metadata.get("raw"), *metadata]
    return [*sorted(codes_of(error)), *(message for message in messages if isinstance(message, str))]


def _status_in(error: object) -> int | None:
    """The HTTP status that an error object stands for, by number or by words; None: unknown."""
    for value in (error.get(name) for name in _STATUSES) if isinstance(error, dict) else ():
        number = int(value) if isinstance(value, str) and re.fullmatch(r"\d{3}", value, re.ASCII) else value
        if isinstance(number, int) and 400 <= number < 600:
            return number
    return next((status for words in _words(error) for pattern, status in _MEANINGS if pattern.search(words)), None)


def _retry_delays(error: object, depth: int = _DEPTH) -> Iterator[float]:
    """Yields the retry delays (s) in an error object: routers put Retry-After into its metadata, Google a delay into details."""
    inner = error.items() if isinstance(error, dict) else enumerate(error) if isinstance(error, list) else ()
    for name, value in inner:
        key = str(name).lower().replace("_", "-")
        seconds = None
        if key in _WAITS:
            seconds = rate_limit.parse_duration(str(value))
        elif key == "retry-after-ms":
            seconds = rate_limit.retry_after({key: str(value)})
        elif key == "x-ratelimit-reset" and re.fullmatch(r"\d{13}", str(value), re.ASCII):  # of OpenRouter: ms since 1970
            seconds = rate_limit.parse_duration(str(int(value) / 1000 - time.time()))
        if seconds is not None:
            yield seconds
        elif depth and isinstance(value, dict | list):
            yield from _retry_delays(value, depth - 1)

"""What a run will cost, before anything is spent."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from raddistill.llm_client.budget import CHARACTERS_A_TOKEN, MILLION, Prices, Tokens, most_completion, most_tokens, size, usd_of
from raddistill.llm_client.messages import Answer
from raddistill.teachers.llm.questions import Question

FEEDBACK_TOKENS = 256  # at most, of the sentence that tells a model what was wrong with its answer


class Estimate(NamedTuple):
    """What a run will ask for. Expected values, and bounds that hold whatever the model answers."""

    requests: float
    requests_at_most: int
    prompt_tokens: float
    prompt_tokens_at_most: int
    completion_tokens: float
    completion_tokens_at_most: int
    usd: float | None  # None: the model has no price
    usd_at_most: float | None
    usd_batch: float | None
    usd_batch_at_most: float | None
    answers: int  # of this model that the expectation was learnt from; 0: a guess, 4 characters a token


class _Ratios(NamedTuple):
    """What one byte of a request came to, and one request."""

    prompt: float  # tokens a byte
    cached: float  # share of the prompt tokens
    completion: Callable[[dict[str, Any]], float]  # tokens
    asks: float  # requests a question asked the first time


def estimate(
    questions: Iterable[Question], known: Iterable[tuple[Question, Answer]], *, prices: Prices, model: str, asks: int
) -> Estimate:
    """What `questions` (all that are open) will cost. `known`: this model's answers in the store, with what was asked.

    `asks` is LLMParams.asks: at most, each question is asked so often, with every failed answer before it in the prompt.
    """
    learnt, answers = _learn(known)
    n, prompt, most_prompt, completion, most_out = 0, 0.0, 0, 0.0, 0
    for question in questions:
        bytes_ = size(question.body)
        most = most_tokens(question.body, bytes_)
        n += 1
        prompt += bytes_ * learnt.prompt
        completion += min(learnt.completion(question.body), most.completion)
        grown = (most.completion + FEEDBACK_TOKENS) * asks * (asks - 1) // 2
        most_prompt += most.prompt * asks + grown
        most_out += most.completion * asks
    factor = learnt.asks
    expected = Tokens(round(prompt * factor), round(completion * factor), round(prompt * factor * learnt.cached))
    price = prices.of(model)
    usd = [None if price is None else usd_of(price, expected, batch) for batch in (False, True)]
    most_usd = None if price is None else (most_prompt * price.highest + most_out * price.output) / MILLION
    return Estimate(
        n * factor, n * asks, prompt * factor, most_prompt, completion * factor, most_out,
        usd[0], most_usd, usd[1], None if price is None or most_usd is None else most_usd * price.batch, answers,
    )  # fmt: skip


def _learn(known: Iterable[tuple[Question, Answer]]) -> tuple[_Ratios, int]:
    """The ratios of what was answered, and the number of answers that they are of."""
    n, first, bytes_, prompt, cached, completion = 0, 0, 0, 0, 0, 0
    for question, answer in known:
        if answer.prompt_tokens == 0:  # its server counts no tokens
            continue
        n += 1
        first += question.ask == 0
        bytes_ += size(question.body)
        prompt += answer.prompt_tokens
        cached += answer.cached_tokens
        completion += answer.completion_tokens
    if not n:
        return _Ratios(1 / CHARACTERS_A_TOKEN, 0.0, _guess, 1.0), 0
    mean = completion / n
    return _Ratios(prompt / bytes_, cached / prompt, lambda body: mean, n / max(first, 1)), n


def _guess(body: dict[str, Any]) -> float:
    """Completion tokens: as long as the worked examples' answers, else half of what is allowed; a decision's: one a question."""
    if "questions" in body:
        return float(len(body["questions"]))
    shown = [message["content"] for message in body["messages"] if message["role"] == "assistant"]
    return sum(map(len, shown)) / len(shown) / CHARACTERS_A_TOKEN if shown else most_completion(body) / 2

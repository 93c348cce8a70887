"""Replies in forms that no sound server sends."""

import json

import pytest

from raddistill.llm_client import replies


@pytest.mark.parametrize(
    ("logprob", "kept"), [("-0.5", -0.5), ("-Infinity", -1e6), ("-1" + 400 * "0", -1e6), ("NaN", None), ("null", None)]
)
def test_a_log_probability_of_any_size(logprob: str, kept: float | None) -> None:
    token = f'{{"token": "yes", "logprob": {logprob}}}'
    body = f'{{"choices": [{{"message": {{"content": "yes"}}, "logprobs": {{"content": [{token}]}}}}]}}'
    reply = replies.read("text", json.loads(body))
    assert reply is not None
    assert reply.logprobs == (None if kept is None else [["yes", kept, []]])

"""The LLM teacher through a real LiteLLM proxy, with the server of the tests behind it.

Opt-in, since LiteLLM is no dependency: `pip install 'litellm[proxy]'` into an environment of its own, then
`RADDISTILL_LITELLM=/that/environment/bin/litellm pytest tests/test_real_proxy.py`. Seen to pass with LiteLLM 1.108.7.
"""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML
from teacher_server import TeacherServer
from test_llm_teacher import LABELS, MANY, REPORTS, TEXTS, Label, label

from raddistill.errors import InputError

LITELLM = os.environ.get("RADDISTILL_LITELLM", "")
pytestmark = pytest.mark.skipif(not LITELLM, reason="RADDISTILL_LITELLM names no litellm")
KEY = "sk-of-the-proxy"
STARTS_WITHIN_S = 120
__all__ = ["label"]  # a fixture


class Proxy(NamedTuple):
    url: str
    upstream: TeacherServer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder: Path = tmp_path_factory.mktemp("proxy")
    with TeacherServer() as upstream, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()

        def served_by(url: str, **more: int) -> dict[str, str | int]:
            return {"model": "openai/mock-1", "api_base": url, "api_key": "none", **more}

        nobody = "http://127.0.0.1:9/v1"
        upstreams = {"good": served_by(upstream.url), "dead": served_by(nobody), "spare": served_by(nobody)}
        upstreams["limited"] = served_by(upstream.url, rpm=60)
        config = {
            "model_list": [{"model_name": name, "litellm_params": params} for name, params in upstreams.items()],
            "router_settings": {
                "num_retries": 0, "fallbacks": [{"spare": ["good"]}], "optional_pre_call_checks": ["enforce_model_rate_limits"],
                "disable_cooldowns": True,
            },
            "general_settings": {"master_key": KEY},
        }  # fmt: skip
        YAML().dump(config, folder / "config.yaml")
        words = [LITELLM, "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks a host for prices
        with open(folder / "said.txt", "wb") as said:
            process = subprocess.Popen(words, env=environment, cwd=folder, stdout=said, stderr=said)
        try:
            wait_for(f"http://127.0.0.1:{port}/health/liveliness", process, folder / "said.txt")
            yield Proxy(f"http://127.0.0.1:{port}/v1", upstream)
        finally:
            process.terminate()
            process.wait(30)


def wait_for(url: str, process: "subprocess.Popen[bytes]", said: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - loopback
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(said.read_text()[-2000:])


@pytest.fixture
def proxy(running: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    monkeypatch.setenv("RADDISTILL_TEACHER_URL", running.url)
    monkeypatch.setenv("RADDISTILL_TEACHER_KEY", KEY)
    running.upstream.faults, running.upstream.alter = [], lambda whole: whole
    running.upstream.requests.clear()
    return running


@pytest.mark.parametrize("answers", ["json_schema", "text"])
def test_labels_are_those_of_the_server_behind_it(
    proxy: Proxy, label: Label, answers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = label(llm_model="good", llm_answers=answers)
    monkeypatch.setenv("RADDISTILL_TEACHER_URL", proxy.upstream.url)
    direct = label(llm_model="mock-1", llm_answers=answers)
    apart = ["teacher"]  # named after the model
    assert made.labels.drop(apart).equals(direct.labels.drop(apart))
    assert made.labels.height == len(TEXTS) * len(LABELS)


def test_a_wrong_key_is_named_at_once(proxy: Proxy, label: Label, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADDISTILL_TEACHER_KEY", "sk-of-nobody")
    with pytest.raises(InputError, match="check the key"):
        label(reports=MANY, llm_model="good")
    assert not proxy.upstream.requests


def test_an_unknown_model_is_named(proxy: Proxy, label: Label) -> None:
    with pytest.raises(InputError, match=r"HTTP 400.*has the model 'nonesuch'"):
        label(reports=MANY, llm_model="nonesuch")


def test_a_server_that_is_not_there_behind_it_is_named(proxy: Proxy, label: Label) -> None:
    with pytest.raises(InputError, match=r"HTTP 500.*behind it if it is a proxy"):
        label(reports=MANY, llm_model="dead", asking_tries=1)


def test_a_fall_back_to_another_model_works(proxy: Proxy, label: Label) -> None:
    assert label(llm_model="spare").metrics["labelled"] == len(TEXTS)


def test_its_rate_limit_is_waited_for(proxy: Proxy, label: Label) -> None:
    """60 requests a minute, counted by the minute of the clock, so that any run of more meets the limit once."""
    made = label(reports=MANY.head(60).vstack(REPORTS.head(4).with_columns(report_id="x" + REPORTS.head(4)["report_id"])),
                 llm_model="limited", asking_tries=10, max_quarantine=0.0)  # fmt: skip
    assert made.metrics["labelled"] == 64


@pytest.mark.parametrize(("fault", "told"), [("401", "check the key"), ("429_bare", "limits the rate"), ("503", "behind it")])
def test_errors_of_the_server_behind_it_come_through(proxy: Proxy, label: Label, fault: str, told: str) -> None:
    proxy.upstream.faults = {fault: 1.0}
    with pytest.raises(InputError, match=told):
        label(reports=MANY, llm_model="good", asking_tries=1, llm_seed=2)


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [
        (429, "slow down", "limits the rate"),
        (401, "no", "check the key"),
        (400, "This model's maximum context length is 4096 tokens.", "context is too small"),
    ],
)
def test_an_error_within_http_200_behind_it_comes_through(proxy: Proxy, label: Label, code: int, words: str, told: str) -> None:
    proxy.upstream.alter = lambda whole: {"error": {"code": code, "message": words}}
    with pytest.raises(InputError, match=told):
        label(reports=MANY, llm_model="good", asking_tries=1, llm_seed=3)

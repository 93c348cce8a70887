"""The client of a teacher sends text and keys to its own server only, by no other way, and nothing into logs."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from teacher_server import TeacherServer

from raddistill import params
from raddistill.errors import InputError
from raddistill.llm_client.clients import client_for, endpoint_url
from raddistill.llm_client.settings import AskingParams, Endpoint

VARIABLES = [
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "OPENAI_CUSTOM_HEADERS",
    "OPENAI_LOG", "OPENAI_API_VERSION", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN",
    "RADDISTILL_TEACHER_URL", "RADDISTILL_TEACHER_KEY",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
]  # fmt: skip
REPORT = "The gallbladder of Mrs. Examplewoman is not seen."
BODY: dict[str, Any] = {"model": "mock-1", "messages": [{"role": "user", "content": f"<report>{REPORT}</report>"}]}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def asking(**changes: Any) -> AskingParams:
    usual = {"in_flight": 4, "timeout_s": 5.0, "tries": 1, "budget_usd": -1}
    return params.load("asking", AskingParams).model_copy(update=usual | changes)


def ask(
    times: int = 1, endpoint: Endpoint = "compatible", sensitivities: frozenset[str] = frozenset({"phi"}), **changes: Any
) -> list[Any]:
    """So many questions at once; answers or the SDK's errors."""

    async def run() -> list[Any]:
        async with client_for(endpoint, asking(**changes), set(sensitivities)) as client:
            return await asyncio.gather(
                *(client.chat.completions.create(**BODY, user=str(n)) for n in range(times)), return_exceptions=True
            )

    return asyncio.run(run())


def test_a_compatible_server_gets_its_own_key_and_nothing_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-openai")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-openai")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-custom\nx-gateway: sk-gateway")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.example/v1")
    with TeacherServer() as server:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        (first,) = ask()
        monkeypatch.setenv("RADDISTILL_TEACHER_KEY", "the-key\n")
        ask()
        assert first.choices[0].finish_reason == "stop"
        assert [headers["Authorization"] for headers in server.headers] == ["Bearer none", "Bearer the-key"]
        sent = " ".join(f"{name} {value}" for headers in server.headers for name, value in headers.items()).lower()
        assert not [word for word in ("sk-", "org-openai", "proj-openai", "x-gateway") if word in sent]


def test_openai_by_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint_url("openai") == "https://api.openai.com/v1"
    with TeacherServer(api_key="sk-openai") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-openai")
        assert endpoint_url("openai") == server.url
        (answer,) = ask(endpoint="openai")
        assert answer.choices[0].finish_reason == "stop"
        assert server.headers[0]["OpenAI-Organization"] == "org-openai"


@pytest.mark.parametrize(
    ("variable", "header"), [("AZURE_OPENAI_API_KEY", "api-key"), ("AZURE_OPENAI_AD_TOKEN", "Authorization")]
)
def test_azure(monkeypatch: pytest.MonkeyPatch, variable: str, header: str) -> None:
    with TeacherServer(api_key="the-key") as server:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.origin + "/")
        monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
        monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.example/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "AUTHORIZATION: Bearer sk-custom\nApi-Key: sk-custom\nx-gateway: sk-gateway")
        monkeypatch.setenv(variable, "the-key")
        (answer,) = ask(endpoint="azure")
        assert answer.choices[0].finish_reason == "stop"
        assert server.headers[0][header].endswith("the-key")
        assert "sk-" not in str(server.headers)


@pytest.mark.parametrize(
    ("endpoint", "set_", "missing"),
    [
        ("openai", {}, "OPENAI_API_KEY"),
        ("openai", {"OPENAI_API_KEY": " "}, "OPENAI_API_KEY"),
        ("compatible", {}, "RADDISTILL_TEACHER_URL"),
        ("azure", {}, "AZURE_OPENAI_ENDPOINT"),
        ("azure", {"AZURE_OPENAI_ENDPOINT": "http://localhost"}, "OPENAI_API_VERSION"),
        ("azure", {"AZURE_OPENAI_ENDPOINT": "http://localhost", "OPENAI_API_VERSION": "2024-10-21"}, "AZURE_OPENAI_API_KEY"),
    ],
)
def test_a_missing_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, set_: dict[str, str], missing: str
) -> None:
    for variable, value in set_.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=rf"^{missing} is not set"):
        client_for(endpoint, asking(), {"public"})


@pytest.mark.parametrize("key", ["sk-\u201cquoted\u201d", "sk-two words", "sk-two\nlines"])
def test_a_key_that_cannot_be_one_is_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(InputError, match="OPENAI_API_KEY holds a character that no key has") as error:
        client_for("openai", asking(), {"public"})
    assert "sk-" not in str(error.value)


def test_no_key_in_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    client = client_for("openai", asking(), {"public"})
    assert "sk-secret" not in repr(client) + str(client) + repr(client._client) + repr(client.base_url)


def test_guarded_text_to_a_host_that_is_not_approved_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    for sensitivities in ({"phi"}, {"public", "credentialed"}):
        with pytest.raises(InputError, match=r"OPENAI_BASE_URL leads to api\.openai\.com:443, .* asking\.approved_hosts"):
            client_for("openai", asking(), sensitivities)
        client_for("openai", asking(approved_hosts=["api.openai.com"]), sensitivities)
    client_for("openai", asking(), {"public"})


def test_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with TeacherServer() as elsewhere:

        async def moved(request: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(f"{elsewhere.url}/chat/completions")

        with TeacherServer(routes=lambda app, _: app.router.add_post("/moved/chat/completions", moved)) as server:
            monkeypatch.setenv("RADDISTILL_TEACHER_URL", f"{server.origin}/moved")
            for sensitivities in ({"phi"}, {"public"}):
                (error,) = ask(sensitivities=frozenset(sensitivities))
                assert isinstance(error, openai.APIStatusError)
                assert error.status_code == 307
        assert elsewhere.counts()["requests"] == 0


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_loopback_is_reached_by_no_proxy(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with TeacherServer() as proxy, TeacherServer() as server:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        for url in (proxy.origin, "socks5://localhost:1"):
            monkeypatch.setenv(variable, url)
            for sensitivities in ({"phi"}, {"public"}):
                (answer,) = ask(sensitivities=frozenset(sensitivities))
                assert answer.choices[0].finish_reason == "stop"
        assert proxy.counts()["requests"] == 0


def test_guarded_text_goes_by_an_approved_proxy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is the test's server, which answers what it should pass on to a host that does not exist."""
    monkeypatch.setenv("RADDISTILL_TEACHER_URL", "http://gpu.invalid:8000/v1")
    hosts = ["gpu.invalid:8000"]
    with TeacherServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin.replace("http://", "http://me:pass@"))
        with pytest.raises(InputError, match=rf"is 127\.0\.0\.1:{proxy.port}, which is not approved") as refused:
            ask(approved_hosts=hosts)
        assert "pass@" not in str(refused.value)
        assert proxy.counts()["requests"] == 0
        (answer,) = ask(approved_hosts=[*hosts, f"127.0.0.1:{proxy.port}"])
        assert answer.choices[0].finish_reason == "stop"
        assert proxy.counts()["paid"] == 1
        monkeypatch.setenv("NO_PROXY", "gpu.invalid")
        (error,) = ask(approved_hosts=hosts)
        assert isinstance(error, openai.APIConnectionError)
        monkeypatch.delenv("NO_PROXY")
        (answer,) = ask(sensitivities=frozenset({"public"}))  # as every program does
        assert answer.choices[0].finish_reason == "stop"
        assert proxy.counts()["paid"] == 2


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("ALL_PROXY", "telnet://me:pass@proxy.example")
    with pytest.raises(InputError, match="cannot be used; correct it") as error:
        client_for("openai", asking(), {"public"})
    assert "pass@" not in str(error.value)


def test_certificates_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(InputError, match="SSL_CERT_FILE or SSL_CERT_DIR cannot be used: No such file"):
        client_for("openai", asking(approved_hosts=["api.openai.com"]), {"phi"})


def test_as_many_connections_as_are_in_flight_and_no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    with TeacherServer(latency=1.0) as server:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        ask(times=40, in_flight=40)
        assert server.counts()["most_in_flight"] == 40
        server.faults = ["500"]
        (error,) = ask()
        assert isinstance(error, openai.InternalServerError)
        assert server.counts()["requests"] == 41


def test_the_timeout_is_that_of_the_params(monkeypatch: pytest.MonkeyPatch) -> None:
    with TeacherServer(faults=["hang"]) as server:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        (error,) = ask(timeout_s=0.05)
        assert isinstance(error, openai.APITimeoutError)


LOUD = """
import asyncio, logging, sys
logging.basicConfig(level=logging.DEBUG)
sys.path.insert(0, {root!r})
from test_clients import ask
logging.getLogger("ours").debug("logging works")
print(*(type(one).__name__ for one in ask(times=3) + ask(endpoint="openai", times=2)))
"""


@pytest.mark.parametrize("fault", [None, "400", "truncated", "reset_mid_body"])
def test_nothing_of_requests_and_answers_reaches_the_logs(fault: str | None) -> None:
    """With OPENAI_LOG=debug and a root logger at DEBUG, where the SDK alone would log URLs, headers and error bodies."""
    root = Path(__file__).parents[1]
    with TeacherServer(faults=[None, fault] * 2) as server:
        given = {
            "RADDISTILL_TEACHER_URL": server.url.replace("http://", "http://me:hidden-password@"),
            "RADDISTILL_TEACHER_KEY": "hidden-key", "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "hidden-key",
            "OPENAI_LOG": "debug",
        }  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | given
        run = subprocess.run(
            [sys.executable, "-c", LOUD.format(root=str(root / "tests"))],
            capture_output=True, text=True, check=True, env=environment, cwd=root,
        )  # fmt: skip
        assert server.counts()["requests"] == 5
    assert "logging works" in run.stderr
    said = run.stdout + run.stderr
    assert not [word for word in ("Examplewoman", "gallbladder", "hidden", "unmentioned", "HTTP Request") if word in said], said

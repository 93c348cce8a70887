"""Makes the openai package's client, and says why a call of it failed.

The client sends text to approved hosts only and never logs it. Keys and URLs come from the environment.
"""

import json
import logging
import os
import urllib.request
from typing import Any

import httpx2
import openai

from raddistill.errors import InputError
from raddistill.llm_client import request_failures
from raddistill.llm_client.allowed_hosts import AllowedHosts, Destination, is_loopback
from raddistill.llm_client.request_failures import RequestFailure
from raddistill.llm_client.settings import AskingParams, Endpoint

OPENAI_URL = "https://api.openai.com/v1"
URL_VARIABLES = {"openai": "OPENAI_BASE_URL", "azure": "AZURE_OPENAI_ENDPOINT", "compatible": "RADDISTILL_TEACHER_URL"}
CONNECT_S = 30.0  # the longest wait for a connection: an unreachable host is noticed sooner than a slow model
CHATTY = {"openai", "httpx2", "httpcore2"}  # loggers


def endpoint_url(endpoint: Endpoint) -> str:
    """Returns the URL of this kind of endpoint from the environment. It may hold a password.

    Raises:
        InputError: the variable is not set.
    """
    if endpoint == "openai":
        return _variable("OPENAI_BASE_URL") or OPENAI_URL
    return _variable(URL_VARIABLES[endpoint], "the base URL of the server")


def client_for(endpoint: Endpoint, asking: AskingParams, sensitivities: set[str]) -> openai.AsyncOpenAI:
    """Returns a client (AsyncAzureOpenAI for azure) that may get text of these sensitivities. Close it, or use `async with`.

    It does not retry (ask.py does) and follows no redirect, which could lead to a host that was not checked. It has a
    connection for every request in flight.

    Raises:
        InputError: a key or URL is missing in the environment, or the text may not go there.
        ParamsError: an entry of asking.approved_hosts is not a host.
    """
    quiet_logs()
    url, named = endpoint_url(endpoint), URL_VARIABLES[endpoint]
    hosts = AllowedHosts(asking.approved_hosts, sensitivities)
    place = hosts.check(url, named)
    credentials = _credentials(endpoint)
    timeout = httpx2.Timeout(asking.timeout_s, connect=min(CONNECT_S, asking.timeout_s))
    common: dict[str, Any] = credentials | {
        "http_client": _http_client(httpx2.URL(url).scheme, place, hosts, asking.in_flight, timeout),
        "max_retries": 0,
        "timeout": timeout,
        "default_headers": {} if endpoint == "openai" else _own_headers(credentials),
    }
    client: openai.AsyncOpenAI
    if endpoint == "azure":
        client = openai.AsyncAzureOpenAI(azure_endpoint=url, **common)
    else:
        client = openai.AsyncOpenAI(base_url=url, **common)
    if endpoint != "openai":  # the SDK sends OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_ADMIN_KEY to any server
        client.organization = client.project = client.admin_api_key = None
    hosts.check(str(client.base_url), named)  # the URL that the SDK will use: it may have read other variables, too
    return client


def parse_json(content: bytes) -> object:
    """Returns the parsed body of a reply; None if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # not JSON or not UTF-8; brackets nested too deep
        return None


def failure_of_call(error: Exception) -> RequestFailure:
    """Returns in fixed words why a call raised `error`, an exception of the SDK, of httpx2 or of a timeout.

    A server's error may repeat the prompt, and the SDK's exceptions hold the request. So callers neither keep nor chain them.
    """
    if isinstance(error, openai.APIStatusError):
        body = parse_json(error.response.content)
        found = {"message": error.body} if body is None else request_failures.error_in(body)  # not JSON: the SDK's body is text
        return request_failures.failure_of(error.status_code, error.response.headers, found)
    if isinstance(error, ValueError | openai.APIResponseValidationError):  # not JSON
        return request_failures.explain(None, {})
    if isinstance(error, TimeoutError | openai.APIConnectionError | httpx2.TransportError):
        late = isinstance(error, TimeoutError | openai.APITimeoutError)
        never_sent = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
        return RequestFailure(f"no answer: {'timeout' if late else 'connection lost'}", again=True, charged=not never_sent)
    name = type(error).__name__
    return RequestFailure(name, again=False, charged=False, stop=f"the openai package could not ask ({name}): check the key")


def quiet_logs() -> None:
    """Keeps requests and answers out of logs, also with OPENAI_LOG=debug or a root logger at DEBUG.

    The SDK and httpx2 log requests, reply headers, URLs and error bodies only at DEBUG and INFO.
    """
    for name in CHATTY | {name for name in logging.root.manager.loggerDict if name.partition(".")[0] in CHATTY}:
        logging.getLogger(name).setLevel(logging.WARNING)


def _variable(name: str, what: str = "") -> str:
    """The value of a variable, stripped: a key read from a file ends with a line feed. It must be set if `what` is given."""
    value = os.environ.get(name, "").strip()
    if what and not value:
        raise InputError(f"{name} is not set: {what}. Keys and URLs are taken from the environment only.")
    return value


def _key(name: str, what: str = "") -> str:
    """As `_variable`, for a key: it can be an HTTP header. The libraries' own error messages would show it."""
    value = _variable(name, what)
    if value and not (value.isascii() and value.isprintable() and " " not in value):
        raise InputError(f"{name} holds a character that no key has (a space, a line feed, a quote of a text editor)")
    return value


def _credentials(endpoint: Endpoint) -> dict[str, str]:
    """Arguments of the SDK's client."""
    if endpoint == "openai":
        return {"api_key": _key("OPENAI_API_KEY", "the key of the OpenAI API")}
    if endpoint == "compatible":  # never None: then the SDK would send OPENAI_API_KEY to another server
        return {"api_key": _key("RADDISTILL_TEACHER_KEY") or "none"}
    version = {"api_version": _variable("OPENAI_API_VERSION", "the version of the Azure OpenAI API, as 2024-10-21")}
    if token := _key("AZURE_OPENAI_AD_TOKEN"):  # preferred to the key, as in the SDK
        return version | {"azure_ad_token": token}
    what = "the key of the Azure resource (or AZURE_OPENAI_AD_TOKEN, a token of Entra ID)"
    return version | {"api_key": _key("AZURE_OPENAI_API_KEY", what)}


def _own_headers(credentials: dict[str, str]) -> dict[str, Any]:
    """Headers of a server other than OpenAI: without those of OPENAI_CUSTOM_HEADERS, which may hold keys."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    headers: dict[str, Any] = {line.partition(":")[0].strip().lower(): openai.Omit() for line in lines if ":" in line}
    key = credentials.get("azure_ad_token") or credentials["api_key"]
    own = {"api-key": key} if "api_version" in credentials and "api_key" in credentials else {"authorization": f"Bearer {key}"}
    return headers | own


def _http_client(
    scheme: str, place: Destination, hosts: AllowedHosts, in_flight: int, timeout: httpx2.Timeout
) -> httpx2.AsyncClient:
    """Uses the environment's proxies for public text, only an approved one for other text, and none to loopback."""
    proxy = None if is_loopback(place.host) else _proxy_for(scheme, place.host)
    if proxy is not None:
        hosts.check_proxy(proxy, place)
    try:
        verify = httpx2.create_ssl_context()  # with the hospital's own certificates, although trust_env is off
    except OSError as error:
        raise InputError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {error.strerror or type(error).__name__}") from None
    limits = httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    try:
        transport = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits, proxy=proxy)
        return httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False, trust_env=False)
    except (ImportError, ValueError, httpx2.InvalidURL):  # SOCKS without `socksio`, or not a URL; their messages repeat the URL
        raise InputError("the proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; correct it") from None


def _proxy_for(scheme: str, host: str) -> str | None:
    """The environment's proxy for a host; None if it names none, or if NO_PROXY lists the host."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"

"""Makes the client that asks the teacher. It sends text to approved hosts only and never logs it.

Keys and URLs come from the environment.
"""

import logging
import os
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any

import httpx2

from raddistill.errors import InputError
from raddistill.llm_client import allowed_hosts
from raddistill.llm_client.settings import AskingParams, Endpoint

if TYPE_CHECKING:
    from openai import AsyncOpenAI

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
        return os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
    return _needed(URL_VARIABLES[endpoint], "the base URL of the server")


def client_for(endpoint: Endpoint, asking: AskingParams, sensitivities: set[str]) -> "AsyncOpenAI":
    """Returns a client (AsyncAzureOpenAI for azure) that may get text of these sensitivities. Close it, or use `async with`.

    It does not retry (direct.py does) and follows no redirect, which could lead to a host that was not checked. It has a
    connection for every request in flight.

    Raises:
        InputError: a key or URL is missing in the environment, or the text may not go there.
        ParamsError: an entry of asking.approved_hosts is not a host.
    """
    from openai import AsyncAzureOpenAI, AsyncOpenAI  # takes a second

    quiet_logs()
    url, named = endpoint_url(endpoint), URL_VARIABLES[endpoint]
    allowed_hosts.check_destination(url, sensitivities, asking.approved_hosts, named)
    credentials = _credentials(endpoint)
    common: dict[str, Any] = {
        "http_client": _http_client(url, asking, sensitivities, named),
        "max_retries": 0,
        "timeout": _timeout(asking),
        "default_headers": {} if endpoint == "openai" else _own_headers(credentials),
    }
    client: AsyncOpenAI
    if endpoint == "azure":
        client = AsyncAzureOpenAI(azure_endpoint=url, **credentials, **common)
    else:
        client = AsyncOpenAI(base_url=url, **credentials, **common)
    if endpoint != "openai":  # the SDK sends OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_ADMIN_KEY to any server
        client.organization = client.project = client.admin_api_key = None
    # Check the URL that the SDK will use: it may have read other variables, too.
    allowed_hosts.check_destination(str(client.base_url), sensitivities, asking.approved_hosts, named)
    return client


def quiet_logs() -> None:
    """Keeps requests and answers out of logs, also with OPENAI_LOG=debug or a root logger at DEBUG.

    The SDK and httpx2 log requests, reply headers, URLs and error bodies only at DEBUG and INFO.
    """
    for name in CHATTY | {name for name in logging.root.manager.loggerDict if name.partition(".")[0] in CHATTY}:
        logging.getLogger(name).setLevel(logging.WARNING)


def _needed(variable: str, what: str) -> str:
    """The value of a variable, stripped: a key read from a file ends with a line feed."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise InputError(f"{variable} is not set: {what}. Keys and URLs are taken from the environment only.")
    return value


def _key(variable: str, value: str) -> str:
    """Checks that a key can be an HTTP header. The libraries' own error messages would show it."""
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise InputError(f"{variable} holds a character that no key has (a space, a line feed, a quote of a text editor)")
    return value


def _credentials(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint == "openai":
        return {"api_key": _key("OPENAI_API_KEY", _needed("OPENAI_API_KEY", "the key of the OpenAI API"))}
    if endpoint == "compatible":  # never None: then the SDK would send OPENAI_API_KEY to another server
        return {"api_key": _key("RADDISTILL_TEACHER_KEY", os.environ.get("RADDISTILL_TEACHER_KEY", "").strip() or "none")}
    version = _needed("OPENAI_API_VERSION", "the version of the Azure OpenAI API, as 2024-10-21")
    token = os.environ.get("AZURE_OPENAI_AD_TOKEN", "").strip()
    if token:  # preferred to the key, as in the SDK
        return {"azure_ad_token": _key("AZURE_OPENAI_AD_TOKEN", token), "api_version": version}
    key = _needed("AZURE_OPENAI_API_KEY", "the key of the Azure resource (or AZURE_OPENAI_AD_TOKEN, a token of Entra ID)")
    return {"api_key": _key("AZURE_OPENAI_API_KEY", key), "api_version": version}


def _own_headers(credentials: dict[str, Any]) -> dict[str, Any]:
    """Headers of a server other than OpenAI: without those of OPENAI_CUSTOM_HEADERS, which may hold keys."""
    from openai import Omit

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    headers: dict[str, Any] = {line.partition(":")[0].strip().lower(): Omit() for line in lines if ":" in line}
    key = credentials.get("azure_ad_token") or credentials["api_key"]
    own = {"api-key": key} if "api_version" in credentials and "api_key" in credentials else {"authorization": f"Bearer {key}"}
    return headers | own


def _timeout(asking: AskingParams) -> httpx2.Timeout:
    return httpx2.Timeout(asking.timeout_s, connect=min(CONNECT_S, asking.timeout_s))


def _http_client(url: str, asking: AskingParams, sensitivities: set[str], named: str) -> httpx2.AsyncClient:
    """Uses the environment's proxies for public text, only an approved one for other text, and none to loopback."""
    place = allowed_hosts.destination_of(url, named)
    local = allowed_hosts.is_loopback(place.host)
    guarded = bool(sensitivities - {allowed_hosts.PUBLIC})
    proxy = None if local else _proxy_for(httpx2.URL(url).scheme, place.host)
    if proxy is not None and guarded:
        allowed_hosts.check_proxy(proxy, place, asking.approved_hosts)
    verify = _ssl_context()
    try:
        limits = httpx2.Limits(max_connections=asking.in_flight, max_keepalive_connections=asking.in_flight)
        transport = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits, proxy=proxy)
        return httpx2.AsyncClient(transport=transport, timeout=_timeout(asking), follow_redirects=False, trust_env=False)
    except (ImportError, ValueError, httpx2.InvalidURL):  # SOCKS without `socksio`, or not a URL; their messages repeat the URL
        raise InputError("the proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; correct it") from None


def _ssl_context() -> ssl.SSLContext:
    """Trusts the hospital's own certificates from SSL_CERT_FILE or SSL_CERT_DIR, although trust_env is off."""
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise InputError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {error.strerror or type(error).__name__}") from None


def _proxy_for(scheme: str, host: str) -> str | None:
    """The environment's proxy for a host; None if it names none, or if NO_PROXY lists the host."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"

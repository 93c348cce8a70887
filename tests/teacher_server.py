"""A real OpenAI-compatible server on loopback for the tests and the benchmark, with faults on command.

In a test: `with TeacherServer(faults={"500": 0.1}, seed=3) as server: ... server.url ... server.counts()`.
As a process: `python tests/teacher_server.py --port 0 --latency 0.2 --faults '{"500": 0.1}'` prints the base URL in its first
line; GET /_counts (beside /v1) tells what was asked.

`faults` is a share for each name, drawn by the hash of seed, body and attempt, so that a retry gets through and a test repeats;
or a list, used up one a request in the order of arrival (None: no fault). The names are of three kinds:

- HTTP_FAULTS, statuses: "429" has Retry-After, "429_ms" retry-after-ms, "429_bare" neither, "429_quota" says insufficient_quota;
- WIRE_FAULTS: `hang`, `drip` (a byte now and then, so that no single read takes long), `reset` (before the reply),
  `reset_mid_body`, `truncated` (JSON that ends early in a well-formed HTTP reply), `malformed` (not quite JSON), `empty_body`,
  `not_json` (a gateway's HTML page with status 200);
- teacher_answers.CONTENT_FAULTS, of the answer itself; these are paid.

Paid is a request answered 200 with a whole, sound JSON body that was sent to its end and counts tokens. Error messages repeat the
prompt, as some servers do, so that a test sees where a message leaks. `alter` makes other replies of the sound ones.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from teacher_answers import CONTENT_FAULTS, answer_for, count_prompt, decision_for, report_of, share

__all__ = ["CONTENT_FAULTS", "FAULTS", "TeacherServer", "answer_for", "decision_for"]

HTTP_FAULTS: dict[str, tuple[int, str, str | None, dict[str, str]]] = {  # status, type, code, headers
    "429": (429, "rate_limit_error", "rate_limit_exceeded", {"retry-after": "{retry_after}"}),
    "429_ms": (429, "rate_limit_error", "rate_limit_exceeded", {"retry-after-ms": "{retry_after_ms}"}),
    "429_bare": (429, "rate_limit_error", "rate_limit_exceeded", {}),
    "429_quota": (429, "insufficient_quota", "insufficient_quota", {"x-should-retry": "false"}),
    "408": (408, "timeout", None, {}),
    "409": (409, "conflict", "lock_timeout", {}),
    "500": (500, "server_error", None, {}),
    "502": (502, "server_error", None, {}),
    "503": (503, "server_error", "overloaded", {}),
    "400": (400, "invalid_request_error", "context_length_exceeded", {}),
    "400_filter": (400, "invalid_request_error", "content_filter", {}),
    "401": (401, "invalid_request_error", "invalid_api_key", {}),
    "403": (403, "invalid_request_error", "unsupported_country", {}),
    "404": (404, "invalid_request_error", "model_not_found", {}),
}
HTML = b"<html><body>Gateway: please log in</body></html>"
WIRE_FAULTS = ["hang", "drip", "reset", "reset_mid_body", "truncated", "malformed", "empty_body", "not_json"]
FAULTS = [*HTTP_FAULTS, *WIRE_FAULTS, *CONTENT_FAULTS]

CHAT_PATHS = [
    "/v1/chat/completions",
    "/openai/deployments/{model}/chat/completions",  # Azure, with ?api-version=
    "/openai/v1/chat/completions",
]


class Bucket:
    """A budget a minute that refills evenly; `limit` 0 is none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = float(limit)
        self.at = time.monotonic()

    def refill(self) -> None:
        now = time.monotonic()
        self.left = min(self.limit, self.left + (now - self.at) * self.limit / 60)
        self.at = now

    def take(self, amount: float) -> float:
        """Takes the amount and returns 0, or returns the seconds until there will be enough."""
        self.refill()
        if self.left >= amount or not self.limit:
            self.left -= amount
            return 0.0
        return (amount - self.left) * 60 / self.limit

    def headers(self, of: str) -> dict[str, str]:
        if not self.limit:
            return {}
        reset = duration((self.limit - max(0.0, self.left)) * 60 / self.limit)
        values = {"limit": self.limit, "remaining": max(0, int(self.left)), "reset": reset}
        return {f"x-ratelimit-{name}-{of}": str(value) for name, value in values.items()}


def duration(seconds: float) -> str:
    """As the service writes it: 20ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


class TeacherServer:
    """The server in a thread of its own; settings may be changed while it runs, counters read at any time."""

    def __init__(
        self,
        faults: dict[str, float] | Sequence[str | None] = (),
        seed: int = 0,
        latency: float = 0.0,
        retry_after: float = 1,
        api_key: str | None = None,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        structured: bool = True,
        routes: Callable[[web.Application, "TeacherServer"], None] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        unknown = {fault for fault in faults if fault is not None} - set(FAULTS)
        assert not unknown, f"no such faults: {sorted(unknown)}"
        self.faults = dict(faults) if isinstance(faults, dict) else list(faults)
        self.seed, self.latency, self.retry_after = seed, latency, retry_after
        self.api_key, self.structured, self.routes = api_key, structured, routes
        self.host, self.port = host, port
        self.buckets = {"requests": Bucket(requests_per_minute), "tokens": Bucket(tokens_per_minute)}
        self.requests: Counter[str] = Counter()  # by sha256 of the body
        self.paid: Counter[str] = Counter()
        self.fault_counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.paid_tokens = 0
        self.in_flight = self.most_in_flight = 0
        self.bodies: list[dict[str, Any]] = []  # the first ones, for tests that look at what was sent
        self.headers: list[Mapping[str, str]] = []  # whatever the case of their names
        self.keep = 1000
        self.alter: Callable[[dict[str, Any]], dict[str, Any]] = lambda whole: whole  # what is sent instead of a sound reply
        self._numbers = itertools.count()
        self._ready = threading.Event()

    # ---------------------------------------------------------------- life

    @property
    def origin(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self._thread.start()
        while not self._ready.wait(0.05):
            assert self._thread.is_alive(), "the teacher server did not start"
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the teacher server did not stop"

    async def serve(self, started: Callable[[], None] | None = None) -> None:
        """Serves until told to stop."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1, handle_signals=False)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port, backlog=2048)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        if started:
            started()
        await self._stop.wait()
        await runner.cleanup()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**30)
        for path in CHAT_PATHS:
            app.router.add_post(path, self.chat)
        app.router.add_post("/v1/decisions", self.decide)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/_counts", self.get_counts)
        if self.routes:
            self.routes(app, self)
        return app

    # ---------------------------------------------------------------- counters

    def counts(self) -> dict[str, Any]:
        """What was asked and paid so far."""
        return {
            "requests": self.requests.total(),
            "bodies": len(self.requests),
            "paid": self.paid.total(),
            "paid_bodies": len(self.paid),
            "paid_twice": sum(n > 1 for n in self.paid.values()),
            "paid_tokens": self.paid_tokens,
            "faults": dict(self.fault_counts),
            "statuses": {str(status): n for status, n in self.statuses.items()},
            "most_in_flight": self.most_in_flight,
        }

    async def get_counts(self, request: web.Request) -> web.Response:
        return web.json_response(self.counts())

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": "mock-1", "object": "model", "created": 0, "owned_by": "us"}]}
        )

    # ---------------------------------------------------------------- requests

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request, answer_for)

    async def decide(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request, decision_for)

    async def answer(self, request: web.Request, answering: Callable[..., dict[str, Any]]) -> web.StreamResponse:
        """One request: counted, delayed, and answered or spoilt by the plan."""
        raw = await request.read()
        digest = hashlib.sha256(raw).hexdigest()
        fault = self.fault_of(digest)
        self.requests[digest] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            body = json.loads(raw)
            self.remember(body, request)
            return await self.reply(request, body, digest, fault, answering)
        finally:
            self.in_flight -= 1

    def remember(self, body: dict[str, Any], request: web.Request) -> None:
        if len(self.bodies) < self.keep:
            self.bodies.append(body)
            self.headers.append(request.headers)

    def fault_of(self, digest: str) -> str | None:
        """What goes wrong with this attempt at this body."""
        if isinstance(self.faults, list):
            return self.faults.pop(0) if self.faults else None
        drawn = share(self.seed, digest, self.requests[digest])
        for fault, part in self.faults.items():
            if drawn < part:
                return fault
            drawn -= part
        return None

    async def reply(
        self, request: web.Request, body: dict[str, Any], digest: str, fault: str | None, answering: Callable[..., dict[str, Any]]
    ) -> web.StreamResponse:
        if fault:
            self.fault_counts[fault] += 1
        if fault == "hang":
            while not self.is_gone(request):
                await asyncio.sleep(0.02)
            return self.error(503, "server_error", None, {}, body)
        if self.latency:
            await asyncio.sleep(self.latency)
        refused = self.refused(request, body)
        if refused is not None:
            return refused
        if fault in HTTP_FAULTS:
            return self.error(*HTTP_FAULTS[fault], body)
        if fault == "reset":
            return reset(request)
        whole = self.alter(answering(body, fault if fault in CONTENT_FAULTS else None))
        return await self.send(request, whole, digest, fault)

    async def send(self, request: web.Request, whole: dict[str, Any], digest: str, fault: str | None) -> web.StreamResponse:
        """Sends an answer, whole or as the fault has it; counts it as paid only at its end."""
        data = json.dumps(whole).encode()
        headers = self.reply_headers()
        broken = {"truncated": data[: len(data) // 2], "malformed": b"{'id': " + data[1:], "empty_body": b"", "not_json": HTML}
        if fault in broken:
            self.statuses[200] += 1
            kind = "text/html" if fault == "not_json" else "application/json"
            return web.Response(body=broken[fault], headers=headers, content_type=kind)
        response = web.StreamResponse(headers=headers | {"content-length": str(len(data)), "content-type": "application/json"})
        await response.prepare(request)
        if fault in WIRE_FAULTS:
            self.statuses[200] += 1
            return await self.break_off(request, response, data, fault)
        await response.write(data)
        await response.write_eof()
        self.statuses[200] += 1
        if "usage" in whole:
            self.paid[digest] += 1
            self.paid_tokens += whole["usage"]["total_tokens"]
        return response

    async def break_off(
        self, request: web.Request, response: web.StreamResponse, data: bytes, fault: str | None
    ) -> web.StreamResponse:
        """Begins the body and never ends it."""
        if fault == "reset_mid_body":
            await response.write(data[: len(data) // 2])
        while fault == "drip" and not self.is_gone(request):
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return reset(request)

    def is_gone(self, request: web.Request) -> bool:
        """Whether the client has closed its side, or the server stops."""
        return self._stop.is_set() or request.transport is None or request.transport.is_closing()

    def refused(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        """401 without the key, 400 for what the server cannot do, 429 above its limits."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("api-key", "")
        if self.api_key is not None and given != self.api_key:
            return self.error(*HTTP_FAULTS["401"], body)
        if not self.structured and ("response_format" in body or "logprobs" in body):
            return self.error(400, "invalid_request_error", "unsupported_parameter", {}, body)
        tokens = 0
        if self.buckets["tokens"].limit:  # counting takes a third of a millisecond
            tokens = count_prompt(body.get("messages", []))
            tokens += int(body.get("max_completion_tokens") or body.get("max_tokens") or 0)
        wait = max(self.buckets["requests"].take(1), self.buckets["tokens"].take(tokens))
        if wait:
            return self.error(429, "rate_limit_error", "rate_limit_exceeded", {"retry-after": f"{wait:.3f}"}, body)
        return None

    def reply_headers(self) -> dict[str, str]:
        headers = {"x-request-id": f"req_{next(self._numbers):032x}", "openai-processing-ms": "1"}
        return headers | self.buckets["requests"].headers("requests") | self.buckets["tokens"].headers("tokens")

    def error(self, status: int, kind: str, code: str | None, headers: dict[str, str], body: dict[str, Any]) -> web.Response:
        """An error in the service's form; its message repeats the report."""
        self.statuses[status] += 1
        messages = body.get("messages") or [{"role": "user", "content": str(body.get("input", ""))}]
        detail = {"message": f"Refused: {report_of(messages)}", "type": kind, "param": "messages", "code": code}
        filled = {"{retry_after}": f"{self.retry_after:g}", "{retry_after_ms}": f"{self.retry_after * 1000:g}"}
        headers = {name: filled.get(value, value) for name, value in headers.items()}
        return web.json_response({"error": detail}, status=status, headers=headers | self.reply_headers())


def reset(request: web.Request) -> web.Response:
    """Ends the connection with a TCP reset."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--faults", type=json.loads, default={}, help="JSON: shares by name, or a list")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--retry-after", type=float, default=1)
    parser.add_argument("--api-key")
    parser.add_argument("--requests-per-minute", type=int, default=0)
    parser.add_argument("--tokens-per-minute", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="refuses response_format and logprobs")
    parser.add_argument("--keep", type=int, default=0, help="bodies remembered")
    given = vars(parser.parse_args())
    keep = given.pop("keep")
    server = TeacherServer(structured=not given.pop("plain"), **given)
    server.keep = keep
    try:
        asyncio.run(server.serve(lambda: print(server.url, flush=True)))
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()

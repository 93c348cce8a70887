"""The files and batches endpoints for the teacher server of the tests, with faults on command.

`batches = BatchServer(fates=["expired"])`, then `with TeacherServer(routes=batches) as server:`.

Faults of three kinds:
- `calls`: what goes wrong with a call, a list for each of CALLS, used up one a call (None: nothing): an HTTP status; `reset`
  (nothing is done, the connection is reset); `error` (nothing is done, a 200 tells of a 429); `text` (nothing is done, a 400
  without JSON); `lost` (it is done, then the connection is reset); of `content` also `cut` (reset in mid-body) and `short` (half
  of the lines in a well-formed reply).
- `lines`: shares for each of LINES and of CONTENT_FAULTS, drawn by the hash of seed, custom_id and attempt, so that asking again
  gets through. `missing` lines were not worked on; `doubled` ones are written twice, with another text the second time;
  `error_inside` is a 429 in the body of a 200.
- `fates`: what becomes of the first, second, ... batch (None: completed): `expired` or `cancelled` (half of the lines are done,
  the others stand in the error file), `bare` (expired, the others nowhere), or `failed:CODE` (validation).

A batch moves on by one status at each look at it; `polls` is how often it is still seen in_progress. Lines come back shuffled.
A line is paid when it is written whole as 200. Error messages repeat the prompt, so that a test sees where a message leaks.
"""

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web
from teacher_answers import CONTENT_FAULTS, answer_for, share
from teacher_server import TeacherServer, reset

CALLS = ["upload", "content", "delete", "files", "create", "retrieve", "list", "cancel"]
STATUSES = ["400", "401", "404", "408", "409", "429", "500", "503"]
LINES = ["missing", "doubled", "malformed", "not_an_object", "stranger", "no_choices", "error_inside", "separators", *STATUSES]
PREFIXES = ["/v1", "/openai", "/openai/v1"]  # the last two are Azure's
URLS = ["/v1/chat/completions", "/chat/completions"]


class BatchServer:
    """Routes and state; settings may be changed while it runs, counters read at any time."""

    def __init__(
        self,
        calls: dict[str, list[str | None]] | None = None,
        lines: dict[str, float] | None = None,
        fates: Sequence[str | None] = (),
        polls: int = 0,
        seed: int = 0,
        max_requests: int = 50_000,
        max_bytes: int = 200_000_000,
        queue: int = 0,
        page: int = 20,
    ) -> None:
        """`queue`: requests of unfinished batches at most (0: any), as the service limits tokens. `page`: of a list, at most."""
        assert set(calls or ()) <= set(CALLS), calls
        assert set(lines or ()) <= {*LINES, *CONTENT_FAULTS}, lines
        self.calls, self.lines, self.fates = calls or {}, lines or {}, list(fates)
        self.polls, self.seed, self.page = polls, seed, page
        self.max_requests, self.max_bytes, self.queue = max_requests, max_bytes, queue
        self.files: dict[str, dict[str, Any]] = {}  # what lies here now, with `content`
        self.batches: dict[str, dict[str, Any]] = {}
        self.counts: Counter[str] = Counter()  # calls by name, and `deleted`
        self.asked: Counter[str] = Counter()  # by custom_id: in how many batches
        self.paid: Counter[str] = Counter()  # by custom_id
        self.sizes: list[tuple[int, int]] = []  # requests and bytes of each batch
        self.latency = 0.0  # seconds before every reply
        self.hook: Callable[[str], None] = lambda moment: None  # called with "before NAME" and "after NAME" of each call

    def __call__(self, app: web.Application, teacher: TeacherServer) -> None:
        """Mounts the routes on the teacher server's app."""
        self.teacher = teacher
        for prefix in PREFIXES:
            app.router.add_post(f"{prefix}/files", self._call("upload", self.upload))
            app.router.add_get(f"{prefix}/files", self._call("files", self.list_files))
            app.router.add_get(f"{prefix}/files/{{id}}", self._call("files", self.file))
            app.router.add_get(f"{prefix}/files/{{id}}/content", self._call("content", self.content))
            app.router.add_delete(f"{prefix}/files/{{id}}", self._call("delete", self.delete))
            app.router.add_post(f"{prefix}/batches", self._call("create", self.create))
            app.router.add_get(f"{prefix}/batches", self._call("list", self.list_batches))
            app.router.add_get(f"{prefix}/batches/{{id}}", self._call("retrieve", self.retrieve))
            app.router.add_post(f"{prefix}/batches/{{id}}/cancel", self._call("cancel", self.cancel))

    def _call(self, name: str, handler: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.counts[name] += 1
            fault = self.calls[name].pop(0) if self.calls.get(name) else None
            self.hook(f"before {name}")
            if self.latency:
                await asyncio.sleep(self.latency)
            if fault in STATUSES:
                await request.read()
                return problem(int(fault), "server_error", "a prompt repeated")
            if fault == "reset":
                return reset(request)
            if fault in ("error", "text"):
                await request.read()
                error = {"error": {"message": "a prompt repeated", "code": 429}}
                text = web.Response(status=400, text="Your credit balance is too low: a prompt repeated")
                return text if fault == "text" else web.json_response(error)
            response: web.StreamResponse = await handler(request)
            self.hook(f"after {name}")
            if fault == "lost":
                return reset(request)
            if fault in ("cut", "short"):
                assert isinstance(response, web.Response)
                return await self._spoilt(request, response, fault)
            return response

        return handle

    async def _spoilt(self, request: web.Request, response: web.Response, fault: str) -> web.StreamResponse:
        body = response.body
        assert isinstance(body, bytes)
        if fault == "short":
            lines = body.splitlines(keepends=True)
            return web.Response(body=b"".join(lines[: len(lines) // 2]))
        cut = web.StreamResponse(headers={"content-length": str(len(body))})
        await cut.prepare(request)
        await cut.write(body[: len(body) // 2])
        return reset(request)

    # ---------------------------------------------------------------- files

    async def upload(self, request: web.Request) -> web.StreamResponse:
        fields: dict[str, Any] = {}
        parts: Any = await request.multipart()
        async for part in parts:
            fields[part.name] = (part.filename, bytes(await part.read())) if part.name == "file" else await part.text()
        name, content = fields["file"]
        if fields["purpose"] != "batch":
            return problem(400, "invalid_purpose")
        if len(content) > self.max_bytes:
            return problem(400, None, "File is too large.")
        return web.json_response(shown(self._file(content, name, "batch")))

    def _file(self, content: bytes, name: str, purpose: str) -> dict[str, Any]:
        file = {
            "id": f"file-{self.counts['ids']:08d}",
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
            "content": content,
        }
        self.counts["ids"] += 1
        self.files[str(file["id"])] = file
        return file

    async def list_files(self, request: web.Request) -> web.StreamResponse:
        files = [shown(file) for file in self.files.values() if file["purpose"] == request.query.get("purpose", file["purpose"])]
        return self._page(request, files[::-1])

    async def file(self, request: web.Request) -> web.StreamResponse:
        file = self.files.get(request.match_info["id"])
        return web.json_response(shown(file)) if file else problem(404, "file_not_found")

    async def content(self, request: web.Request) -> web.StreamResponse:
        file = self.files.get(request.match_info["id"])
        return web.Response(body=file["content"]) if file else problem(404, "file_not_found")

    async def delete(self, request: web.Request) -> web.StreamResponse:
        if self.files.pop(request.match_info["id"], None) is None:
            return problem(404, "file_not_found")
        self.counts["deleted"] += 1
        return web.json_response({"id": request.match_info["id"], "object": "file", "deleted": True})

    # ---------------------------------------------------------------- batches

    async def create(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        file = self.files.get(asked["input_file_id"])
        if file is None:
            return problem(400, "invalid_input_file")
        if asked["completion_window"] != "24h" or asked["endpoint"] not in URLS:
            return problem(400, "invalid_value")
        lines = file["content"].splitlines()
        fate = (self.fates.pop(0) if self.fates else None) or self._refusal(lines, asked["endpoint"]) or "completed"
        batch = {
            "id": f"batch_{len(self.batches):08d}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": file["id"],
            "completion_window": "24h",
            "created_at": int(time.time()),
            "status": "validating",
            "metadata": asked.get("metadata"),
            "errors": None,
            "output_file_id": None,
            "error_file_id": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "fate": fate,
            "looks": self.polls,
            "lines": [json.loads(line) for line in lines] if not fate.startswith("failed") else [],
        }
        self.batches[str(batch["id"])] = batch
        self.sizes.append((len(lines), len(file["content"])))
        return web.json_response(shown(batch))

    def _refusal(self, lines: "Sequence[bytes]", endpoint: str) -> str | None:
        """Why a batch fails its validation."""
        try:
            requests = [json.loads(line) for line in lines]
        except ValueError:
            return "failed:invalid_json_line"
        waiting = sum(len(batch["lines"]) for batch in self.batches.values() if batch["status"] in UNDER_WAY)
        wrong = {
            "empty_file": not requests,
            "too_many_requests": len(requests) > self.max_requests,
            "duplicate_custom_id": len({each["custom_id"] for each in requests}) < len(requests),
            "invalid_url": any(each["method"] != "POST" or each["url"] != endpoint for each in requests),
            "mismatched_model": len({each["body"]["model"] for each in requests}) > 1,
            "token_limit_exceeded": 0 < self.queue < waiting + len(requests),
        }
        return next((f"failed:{code}" for code, holds in wrong.items() if holds), None)

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return problem(404, "batch_not_found")
        self._move_on(batch)
        return web.json_response(shown(batch))

    def _move_on(self, batch: dict[str, Any]) -> None:
        status, fate = batch["status"], batch["fate"]
        if status == "validating" and fate.startswith("failed:"):
            error = {"code": fate.removeprefix("failed:"), "line": 1, "message": "a prompt repeated", "param": None}
            batch.update(status="failed", errors={"object": "list", "data": [error]})
        elif status == "validating":
            batch["status"] = "in_progress"
            batch["request_counts"]["total"] = len(batch["lines"])
        elif status == "in_progress" and batch["looks"]:
            batch["looks"] -= 1
        elif status == "in_progress":
            self._work(batch)
            batch["status"] = "finalizing"
        elif status in ("finalizing", "cancelling"):
            if status == "cancelling":
                self._work(batch)
            batch["status"] = "expired" if fate == "bare" else fate

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self.batches[request.match_info["id"]]
        if batch["status"] in ("validating", "in_progress"):
            batch.update(status="cancelling", fate="cancelled")
        return web.json_response(shown(batch))

    async def list_batches(self, request: web.Request) -> web.StreamResponse:
        return self._page(request, [shown(batch) for batch in self.batches.values()][::-1])

    def _page(self, request: web.Request, found: "Sequence[dict[str, Any]]") -> web.Response:
        """Newest first, after the id `after`."""
        ids = [each["id"] for each in found]
        start = ids.index(request.query["after"]) + 1 if "after" in request.query else 0
        page = found[start : start + min(self.page, int(request.query.get("limit", self.page)))]
        return web.json_response({"object": "list", "data": page, "has_more": start + len(page) < len(found)})

    # ---------------------------------------------------------------- the work

    def _work(self, batch: dict[str, Any]) -> None:
        """Answers the lines and writes the files of output and of errors."""
        files: dict[str, list[bytes]] = {"output": [], "error": []}
        counts, fate = batch["request_counts"], batch["fate"]
        for line in batch["lines"]:
            key = line["custom_id"]
            self.asked[key] += 1
            if fate == "completed" or share(self.seed, key, batch["id"]) < 0.5:
                self._answer(line, files, counts)
                continue
            counts["failed"] += 1
            if fate != "bare":
                files["error"].append(written(key, None, {"code": f"batch_{fate}", "message": "too late"}))
        for name, lines in files.items():
            random.Random(self.seed).shuffle(lines)
            if lines:
                file = self._file(b"\n".join(lines) + b"\n", f"{batch['id']}_{name}.jsonl", "batch_output")
                batch[f"{name}_file_id"] = file["id"]

    def _answer(self, line: dict[str, Any], files: dict[str, list[bytes]], counts: dict[str, int]) -> None:
        key, body = line["custom_id"], line["body"]
        fault = self._fault(key)
        if fault == "missing":
            return
        if fault in STATUSES:
            error = {"message": f"about {json.dumps(body)}", "type": "some_error", "code": "context_length_exceeded"}
            files["error"].append(written(key, {"status_code": int(fault), "request_id": "r", "body": {"error": error}}))
            counts["failed"] += 1
            return
        if fault == "error_inside":
            inner = {"error": {"message": f"about {json.dumps(body)}", "code": 429}, "choices": []}
            files["output"].append(written(key, {"status_code": 200, "request_id": "r", "body": inner}))
            counts["completed"] += 1
            return
        answer = answer_for(body, fault if fault in CONTENT_FAULTS else None)
        if fault == "no_choices":
            answer["choices"] = []
        if fault == "separators":  # characters that str.splitlines takes for ends of lines, raw in JSON
            answer["choices"][0]["message"]["content"] += " \u2028 \x85 \u2029"
        reply = {"status_code": 200, "request_id": f"req_{key[:8]}", "body": answer}
        whole, output = written(key, reply), files["output"]
        counts["completed"] += 1
        if fault in ("malformed", "not_an_object"):
            output.append(whole[: len(whole) // 2] if fault == "malformed" else b'["' + key.encode() + b'"]')
            return
        self.paid[key] += 1
        self.teacher.paid[hashlib.sha256(json.dumps(body).encode()).hexdigest()] += 1
        self.teacher.paid_tokens += answer["usage"]["total_tokens"]
        output.append(whole)
        if fault == "doubled":
            answer["choices"][0]["message"]["content"] = "the second time"
            output.append(written(key, reply))
        if fault == "stranger":
            output.append(written("nobody-asked", reply))

    def _fault(self, key: str) -> str | None:
        drawn = share(self.seed, key, self.asked[key])
        for fault, part in self.lines.items():
            if drawn < part:
                return fault
            drawn -= part
        return None


UNDER_WAY = ["validating", "in_progress", "finalizing", "cancelling"]


def shown(thing: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in thing.items() if key not in ("content", "fate", "looks", "lines")}


def written(key: str, reply: dict[str, Any] | None, error: dict[str, Any] | None = None) -> bytes:
    """A line of an output or error file."""
    line = {"id": "batch_req", "custom_id": key, "response": reply, "error": error}
    return json.dumps(line, ensure_ascii=False).encode()


def problem(status: int, code: str | None, message: str = "no") -> web.Response:
    return web.json_response({"error": {"message": message, "type": "some_error", "code": code, "param": None}}, status=status)

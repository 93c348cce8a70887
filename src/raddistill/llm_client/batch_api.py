"""The calls of batch mode: files and batches at the server, with patience.

No exception of the SDK leaves `_try`, so that none is chained to what is raised: they hold what the server said.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

import httpx2
import openai
from openai.types import Batch, FileDeleted, FileObject

from raddistill.errors import InputError
from raddistill.llm_client import rate_limit, request_failures
from raddistill.llm_client.batch_lines import Reading
from raddistill.llm_client.request_failures import RequestFailure

OUTAGE_S = 3600.0  # without word from a server that has our batches, before the run gives up: it may wait a day for them anyway
OUTPUT_EXPIRES_S = 30 * 24 * 3600  # the longest that the service takes: an output may be fetched late, but is not kept for ever
NOT_YET = {400, 404}  # of a file or batch whose id we hold: servers may not find it yet right after they made it
AZURE_POLL_S = 1.0  # between two looks at an uploaded file
PASSES_WITHIN = 5  # tries; with their pauses about 8 seconds
QUEUE_FULL = "token_limit_exceeded"  # the account's limit on tokens of batches under way
NAME = "raddistill"  # key in a batch's metadata

T = TypeVar("T")
M = TypeVar("M", Batch, FileObject, FileDeleted)


class QueueFullError(Exception):
    """The account may have no more tokens in batches under way."""


class _Failed(NamedTuple):
    """A call without a result."""

    trouble: RequestFailure
    status: int | None = None
    codes: frozenset[str] = frozenset()


class _BrokenError(Exception):
    """A reply that is not of the form that the API promises; `error` is one that came in its place."""

    def __init__(self, error: object) -> None:
        super().__init__()
        self.error = error


class Server:
    """Where batches go.

    What may have been done though its reply was lost is looked up before it is done again: a file by its random name, a batch by
    its file. So the SDK's own retries, which would submit twice, stay off.
    """

    def __init__(self, client: openai.AsyncOpenAI, tries: int) -> None:
        self._client, self._tries = client, tries
        self._azure = isinstance(client, openai.AsyncAzureOpenAI)
        # Of a request in a batch. Azure's documents have it without /v1.
        self.url = "/chat/completions" if self._azure else "/v1/chat/completions"
        self._maybe_done: set[str] = set()  # names of files, ids of files of batches

    async def upload(self, name: str, content: BinaryIO) -> str:
        """Returns the id of the uploaded file.

        Raises:
            InputError: the server refuses, or does not answer. So below.
        """

        async def once() -> FileObject:
            if name in self._maybe_done and (found := await self._file_named(name)):
                return found
            self._maybe_done.add(name)
            content.seek(0)
            file = f"{name}.jsonl", content, "application/jsonl"
            return _sound(await self._client.files.create(file=file, purpose="batch"), FileObject)

        file = await _call(once, self._tries)
        while file.status in ("pending", "running"):  # Azure's
            await asyncio.sleep(AZURE_POLL_S)
            file = await _call(partial(self._file, file.id), self._tries, passing=NOT_YET)
        return file.id

    async def create(self, name: str, file: str) -> str:
        """Returns the id of the batch of an uploaded file.

        Raises:
            QueueFullError: it may come later.
        """

        async def once() -> str:
            if file in self._maybe_done and (found := await self._batch_of(file)):
                return found
            self._maybe_done.add(file)
            batch = await self._client.batches.create(
                input_file_id=file,
                endpoint=cast(Any, self.url),  # Azure's is not among the SDK's literals
                completion_window="24h",
                metadata={NAME: name},
                output_expires_after=openai.omit if self._azure else {"anchor": "created_at", "seconds": OUTPUT_EXPIRES_S},
            )
            return _sound(batch, Batch).id

        return await _call(once, self._tries, passing=NOT_YET)

    async def batch(self, batch: str) -> Batch:
        """Returns how a batch is doing, or raises InputError where the server does not know it or is away for an hour."""

        async def once() -> Batch | None:
            return _sound(await self._client.batches.retrieve(batch), Batch)

        found = await _call(once, self._tries, gone=lambda: None, passing=NOT_YET, patience_s=OUTAGE_S)
        if found is None:
            raise InputError(f"the server does not know the batch {batch}: is the key in the environment another account's?")
        return found

    async def read(self, file: str, reading: Reading) -> None:
        """Hands on the lines of a file as they come, from its beginning again after a lost connection; none if it is gone."""

        async def once() -> None:
            reading.begin(file)
            rest = b""
            async with self._client.files.with_streaming_response.content(file) as response:
                async for chunk in response.iter_bytes():
                    # Not the SDK's iter_lines: that splits at U+2028 and the like, which JSON may hold as they are.
                    *whole, rest = (rest + chunk).split(b"\n")
                    reading.take(whole)
            reading.take([rest])

        await _call(once, self._tries, gone=lambda: None, passing=NOT_YET, patience_s=OUTAGE_S)

    async def delete(self, file: str) -> bool:
        """Returns whether the file is deleted."""

        async def once() -> bool:
            return _sound(await self._client.files.delete(file), FileDeleted).deleted

        try:
            return await _call(once, self._tries, gone=lambda: True)
        except InputError:
            return False

    async def find(self, name: str, file: str | None) -> tuple[str | None, str | None]:
        """Returns the ids of an uploaded file and of its batch, as far as the server has them. `file`: its id, if known."""
        if file is None:
            found = await _call(lambda: self._file_named(name), self._tries)
            file = found.id if found else None
        return file, None if file is None else await _call(lambda: self._batch_of(file), self._tries)

    async def _file(self, file: str) -> FileObject:
        return _sound(await self._client.files.retrieve(file), FileObject)

    async def _file_named(self, name: str) -> FileObject | None:
        async for file in self._client.files.list(purpose="batch"):
            if file.filename == f"{name}.jsonl":
                return file
        return None

    async def _batch_of(self, file: str) -> str | None:
        async for batch in self._client.batches.list(limit=100):
            if batch.input_file_id == file:
                return batch.id
        return None


async def _call(
    once: Callable[[], Awaitable[T]],
    most_tries: int,
    *,
    gone: Callable[[], T] | None = None,
    passing: Collection[int] = (),
    patience_s: float = 0.0,
) -> T:
    """Returns the result of a call, tried so many times and for `patience_s`.

    `gone()` stands for the result at HTTP 404, where that is no error. `passing`: statuses that may pass.
    """
    began, tries = time.monotonic(), 0
    while True:
        result = await _try(once)
        if not isinstance(result, _Failed):
            return result
        if QUEUE_FULL in result.codes:
            raise QueueFullError
        trouble, tries = result.trouble, tries + 1
        may_pass = result.status in passing and tries < PASSES_WITHIN
        if result.status == 404 and gone is not None and not may_pass:
            return gone()
        spent = tries >= most_tries and time.monotonic() - began >= patience_s
        if (not trouble.again or spent) and not may_pass:
            raise InputError(
                f"batch mode: {trouble.stop or trouble.reason}. What was submitted is kept, and the next run goes on with it"
            )
        await asyncio.sleep(rate_limit.pause(trouble.wait_s, tries, random.random()))  # noqa: S311 - jitter


async def _try(once: Callable[[], Awaitable[T]]) -> T | _Failed:
    try:
        return await once()
    except openai.APITimeoutError:
        return _Failed(_again("timeout"))
    except openai.APIStatusError as error:
        judged = request_failures.judge(error.status_code, error.response.headers, error.body)
        return _Failed(judged, error.status_code, frozenset(request_failures.codes_of(error.body)))
    except (openai.APIConnectionError, httpx2.TransportError):  # the second: while a body is read
        return _Failed(_again("connection lost"))
    except (_BrokenError, ValueError, openai.APIResponseValidationError) as broken:  # the last two: no JSON
        return _Failed(request_failures.explain({"error": getattr(broken, "error", None)}, {}))
    except openai.OpenAIError as error:
        name = type(error).__name__
        return _Failed(RequestFailure(f"the openai package could not ask ({name}): check the key", again=False, charged=False))


def _again(what: str) -> RequestFailure:
    return RequestFailure(f"no answer: {what}", again=True, charged=False)


def _sound(reply: M, kind: type[M]) -> M:
    """The SDK checks nothing: for an HTML page it returns text, for JSON of another form a model that lacks its id."""
    if not isinstance(reply, kind) or not isinstance(getattr(reply, "id", None), str):
        raise _BrokenError(getattr(reply, "error", None))
    return reply

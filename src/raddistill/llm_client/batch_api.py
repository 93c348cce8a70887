"""Calls the server's files and batches endpoints, with retries.

`_call` lets no exception of the SDK through, because they hold the server's words. It raises nothing inside its `except`, because
chained errors would show them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

import httpx2
import openai
from openai.types import Batch, FileDeleted, FileObject

from raddistill.errors import InputError
from raddistill.llm_client import rate_limit, request_failures
from raddistill.llm_client.clients import failure_of_call

OUTAGE_S = 3600.0  # how long a server that has our batches may be unreachable; a run may wait a day for them anyway
OUTPUT_EXPIRES_S = 30 * 24 * 3600  # the longest that the service allows; without it outputs would be kept for ever
NOT_YET = {400, 404}  # a server may not find a file or batch yet that it has just made
AZURE_POLL_S = 1.0  # between two status requests for an uploaded file
PASSES_WITHIN = 5  # tries within which NOT_YET must pass; about 8 seconds with their pauses
QUEUE_FULL = "token_limit_exceeded"  # error code: too many tokens in the account's open batches
NAME = "raddistill"  # key in a batch's metadata

T = TypeVar("T")
M = TypeVar("M", Batch, FileObject, FileDeleted)


class QueueFullError(Exception):
    """The account may have no more tokens in open batches."""


class _BrokenError(ValueError):
    """A reply that breaks the API's format; `error` is the error object that came instead, if any."""

    def __init__(self, error: object) -> None:
        super().__init__()
        self.error = error


class Server:
    """The server that batches are sent to.

    A call whose reply was lost may have worked. So before a retry the file is looked up by its random name, the batch by its
    file. The SDK's own retries would submit twice and stay off.
    """

    def __init__(self, client: openai.AsyncOpenAI, tries: int) -> None:
        self._client, self._tries = client, tries
        self._azure = isinstance(client, openai.AsyncAzureOpenAI)
        # URL in each line of a batch. Azure's documents give it without /v1.
        self.url = "/chat/completions" if self._azure else "/v1/chat/completions"
        self._maybe_done: set[str] = set()  # file names, and file ids of batches, whose call was made

    async def upload(self, name: str, content: BinaryIO) -> str:
        """Returns the id of the uploaded file.

        Raises:
            InputError: the server refuses or does not answer. All methods below raise it for this, too.
        """

        async def once() -> FileObject:
            if name in self._maybe_done and (found := await self._file_named(name)):
                return found
            self._maybe_done.add(name)
            content.seek(0)
            file = f"{name}.jsonl", content, "application/jsonl"
            return _checked(await self._client.files.create(file=file, purpose="batch"), FileObject)

        file = await _call(once, self._tries)
        while file.status in ("pending", "running"):  # Azure's
            await asyncio.sleep(AZURE_POLL_S)
            file = await _call(partial(self._file, file.id), self._tries, passing=NOT_YET)
        return file.id

    async def create(self, name: str, file_id: str) -> str:
        """Creates a batch from an uploaded file and returns its id.

        Raises:
            QueueFullError: the batch can be submitted later.
        """

        async def once() -> str:
            if file_id in self._maybe_done and (found := await self._batch_of(file_id)):
                return found
            self._maybe_done.add(file_id)
            batch = await self._client.batches.create(
                input_file_id=file_id,
                endpoint=cast(Any, self.url),  # Azure's is not among the SDK's literals
                completion_window="24h",
                metadata={NAME: name},
                output_expires_after=openai.omit if self._azure else {"anchor": "created_at", "seconds": OUTPUT_EXPIRES_S},
            )
            return _checked(batch, Batch).id

        return await _call(once, self._tries, passing=NOT_YET)

    async def retrieve(self, batch_id: str) -> Batch:
        """Returns the state of a batch. Raises InputError if the server does not know it or is unreachable for an hour."""

        async def once() -> Batch | None:
            return _checked(await self._client.batches.retrieve(batch_id), Batch)

        found = await _call(once, self._tries, gone=lambda: None, passing=NOT_YET, patience_s=OUTAGE_S)
        if found is None:
            raise InputError(f"the server does not know the batch {batch_id}: is the key in the environment another account's?")
        return found

    async def read(self, file_id: str, take: Callable[[str, list[bytes], bool], None]) -> None:
        """Calls `take` with the id, some lines and whether they are the first, until all lines of a file are read.

        After a lost connection it starts from the beginning of the file. A deleted file has no lines.
        """

        async def once() -> None:
            take(file_id, [], True)
            rest = b""
            async with self._client.files.with_streaming_response.content(file_id) as response:
                async for chunk in response.iter_bytes():
                    # Not the SDK's iter_lines: that splits at U+2028 and the like, which JSON may hold as they are.
                    *whole, rest = (rest + chunk).split(b"\n")
                    take(file_id, whole, False)
            take(file_id, [rest], False)

        await _call(once, self._tries, gone=lambda: None, passing=NOT_YET, patience_s=OUTAGE_S)

    async def delete(self, file_id: str) -> bool:
        """Deletes a file; returns whether it is gone."""

        async def once() -> bool:
            return _checked(await self._client.files.delete(file_id), FileDeleted).deleted

        try:
            return await _call(once, self._tries, gone=lambda: True)
        except InputError:
            return False

    async def find(self, name: str, file_id: str | None) -> tuple[str | None, str | None]:
        """Returns the ids of an uploaded file and of its batch; None for one that the server does not have."""
        if file_id is None:
            found = await _call(lambda: self._file_named(name), self._tries)
            file_id = found.id if found else None
        return file_id, None if file_id is None else await _call(lambda: self._batch_of(file_id), self._tries)

    async def _file(self, file_id: str) -> FileObject:
        return _checked(await self._client.files.retrieve(file_id), FileObject)

    async def _file_named(self, name: str) -> FileObject | None:
        async for file in self._client.files.list(purpose="batch"):
            if file.filename == f"{name}.jsonl":
                return file
        return None

    async def _batch_of(self, file_id: str) -> str | None:
        async for batch in self._client.batches.list(limit=100):
            if batch.input_file_id == file_id:
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
    """Returns the result of a call, tried at least `most_tries` times and for at least `patience_s` seconds.

    `gone()`: the result at HTTP 404, if that is no error. `passing`: HTTP statuses that may go away on a retry.

    Raises:
        QueueFullError: the account may have no more tokens in open batches.
        InputError: there is no result, or the server refuses.
    """
    began, tries = time.monotonic(), 0
    while True:
        try:
            return await once()
        except (openai.OpenAIError, httpx2.TransportError, ValueError) as error:  # ValueError: not JSON
            if isinstance(error, _BrokenError):
                failure = request_failures.explain({"error": error.error}, {})
            else:
                failure = failure_of_call(error)
            status, codes = getattr(error, "status_code", None), request_failures.codes_of(getattr(error, "body", None))
        if QUEUE_FULL in codes:
            raise QueueFullError
        tries += 1
        may_pass = status in passing and tries < PASSES_WITHIN
        if status == 404 and gone is not None and not may_pass:
            return gone()
        spent = tries >= most_tries and time.monotonic() - began >= patience_s
        if (not failure.again or spent) and not may_pass:
            raise InputError(
                f"batch mode: {failure.stop or failure.reason}. What was submitted is kept, and the next run goes on with it"
            )
        await rate_limit.pause(failure.retry_after_s, tries)


def _checked(reply: M, kind: type[M]) -> M:
    """Raises _BrokenError unless the reply is of `kind` with an id. The SDK checks neither: an HTML page comes back as text."""
    if not isinstance(reply, kind) or not isinstance(getattr(reply, "id", None), str):
        raise _BrokenError(getattr(reply, "error", None))
    return reply

"""The calls of batch mode: files and batches at the server, with patience.

Touches the world: the server, and uploads from disk. As in asking.py, no exception of the SDK leaves `_try`, so that none is
chained to what is raised: they hold what the server said.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import httpx2
import openai
from openai.types import Batch, FileDeleted, FileObject

from raddistill.errors import InputError
from raddistill.teachers.llm import pacing, troubles
from raddistill.teachers.llm.settings import AskingParams
from raddistill.teachers.llm.spooling import Spool
from raddistill.teachers.llm.troubles import Trouble

OUTAGE_S = 3600.0  # without word from a server that has our batches, before the run gives up: it may wait a day for them anyway
OUTPUT_EXPIRES_S = (
    30 * 24 * 3600
)  # the longest that the service takes: an output may be fetched late, but does not lie there for ever
NOT_YET = {400, 404}  # of a file or batch whose id we hold: servers may not find it yet right after they made it
AZURE_POLL_S = 1.0  # between two looks at an uploaded file
PASSES_WITHIN = 5  # tries; with their pauses about 8 seconds
QUEUE_FULL = "token_limit_exceeded"  # the account's limit on tokens of batches under way
NAME = "raddistill"  # key in a batch's metadata

T = TypeVar("T")
M = TypeVar("M", Batch, FileObject, FileDeleted)


class QueueFullError(Exception):
    """The account may have no more tokens in batches under way."""


class Lines(Protocol):
    """Who reads an output or error file."""

    def begin(self, file: str) -> None: ...
    def take(self, lines: Iterable[bytes]) -> None: ...
    def flush(self) -> None: ...


class _Failed(NamedTuple):
    """A call without a result."""

    trouble: Trouble
    status: int | None = None
    codes: frozenset[str] = frozenset()


class _BrokenError(Exception):
    """A reply that is not of the form that the API promises; `error` is one that came in its place."""

    def __init__(self, error: object) -> None:
        super().__init__()
        self.error = error


class Server:
    """Where batches go. What is lost on the way is tried again: asking.tries times, for OUTAGE_S where batches are waited for."""

    def __init__(self, client: openai.AsyncOpenAI, asking: AskingParams) -> None:
        self._client, self._tries = client, asking.tries
        self._azure = isinstance(client, openai.AsyncAzureOpenAI)
        # Of a request in a batch. Azure's documents have it without /v1.
        self.url = "/chat/completions" if self._azure else "/v1/chat/completions"
        self._random = random.Random()  # noqa: S311 - jitter

    async def upload(self, spool: Spool) -> str:
        """The id of the uploaded file, found if an upload may have been done already.

        Raises:
            InputError: the server refuses, or does not answer.
        """

        async def once() -> FileObject:
            if spool.sent_before and (found := await self._file_of(spool)):
                return found
            spool.sent_before = True
            with open(spool.path, "rb") as content:
                named = f"{spool.name}.jsonl", content, "application/jsonl"
                return _sound(await self._client.files.create(file=named, purpose="batch"), FileObject)

        file = await self._call(once)
        while file.status in ("pending", "running"):  # Azure's
            await asyncio.sleep(AZURE_POLL_S)
            file = await self._call(partial(self._file, file.id), passing=NOT_YET)
        spool.sent_before = False
        return file.id

    async def create(self, spool: Spool) -> str:
        """The id of the batch of an uploaded file, found if it may have been created already.

        Raises:
            QueueFullError: it may come later.
            InputError: the server refuses, or does not answer.
        """
        file = spool.state.file
        assert file is not None

        async def once() -> str:
            if spool.sent_before and (found := await self._batch_of(file)):
                return found
            spool.sent_before = True
            batch = await self._client.batches.create(
                input_file_id=file,
                endpoint=cast(Any, self.url),  # Azure's is not among the SDK's literals
                completion_window="24h",
                metadata={NAME: spool.name},
                output_expires_after=openai.omit if self._azure else {"anchor": "created_at", "seconds": OUTPUT_EXPIRES_S},
            )
            return _sound(batch, Batch).id

        return await self._call(once, passing=NOT_YET)

    async def batch(self, batch: str) -> Batch:
        """How it stands.

        Raises:
            InputError: the server does not know it, or did not answer for an hour.
        """

        async def once() -> Batch | None:
            return _sound(await self._client.batches.retrieve(batch), Batch)

        found = await self._call(once, gone=lambda: None, passing=NOT_YET, patience_s=OUTAGE_S)
        if found is None:
            raise InputError(f"the server does not know the batch {batch}: is the key in the environment another account's?")
        return found

    async def read(self, file: str, lines: Lines) -> None:
        """Hands on the lines of a file as they come, from its beginning again where the connection was lost; none if it is gone.

        Raises:
            InputError: the server did not answer for an hour.
        """

        async def once() -> None:
            lines.begin(file)
            rest = b""
            try:
                async with self._client.files.with_streaming_response.content(file) as response:
                    async for chunk in response.iter_bytes():
                        # Not the SDK's iter_lines: that splits at U+2028 and the like, which JSON may hold as they are.
                        *whole, rest = (rest + chunk).split(b"\n")
                        lines.take(whole)
                lines.take([rest])
            finally:
                lines.flush()

        await self._call(once, gone=lambda: None, passing=NOT_YET, patience_s=OUTAGE_S)

    async def delete(self, file: str) -> bool:
        """Whether the file is deleted."""

        async def once() -> bool:
            return _sound(await self._client.files.delete(file), FileDeleted).deleted

        try:
            return await self._call(once, gone=lambda: True)
        except InputError:
            return False

    async def find_file(self, spool: Spool) -> str | None:
        """The id of an uploaded file, by its name, which nobody else has.

        Raises:
            InputError: the server refuses, or does not answer.
        """
        found = await self._call(lambda: self._file_of(spool))
        return None if found is None else found.id

    async def find_batch(self, file: str) -> str | None:
        """The id of the batch of an uploaded file.

        Raises:
            InputError: the server refuses, or does not answer.
        """
        return await self._call(lambda: self._batch_of(file))

    async def _file(self, file: str) -> FileObject:
        return _sound(await self._client.files.retrieve(file), FileObject)

    async def _file_of(self, spool: Spool) -> FileObject | None:
        async for file in self._client.files.list(purpose="batch"):
            if file.filename == f"{spool.name}.jsonl":
                return file
        return None

    async def _batch_of(self, file: str) -> str | None:
        async for batch in self._client.batches.list(limit=100):
            if batch.input_file_id == file:
                return batch.id
        return None

    async def _call(
        self,
        once: Callable[[], Awaitable[T]],
        *,
        gone: Callable[[], T] | None = None,
        passing: Collection[int] = (),
        patience_s: float = 0.0,
    ) -> T:
        """The result of a call. `gone()` stands for it at HTTP 404, where that is no error. `passing`: statuses that may pass."""
        began, tries = time.monotonic(), 0
        while True:
            said = await self._try(once)
            if not isinstance(said, _Failed):
                return said
            if QUEUE_FULL in said.codes:
                raise QueueFullError
            trouble, tries = said.trouble, tries + 1
            may_pass = said.status in passing and tries < PASSES_WITHIN
            if said.status == 404 and gone is not None and not may_pass:
                return gone()
            spent = tries >= self._tries and time.monotonic() - began >= patience_s
            if (not trouble.again or spent) and not may_pass:
                raise InputError(
                    f"batch mode: {trouble.stop or trouble.reason}. What was submitted is kept, and the next run goes on with it"
                )
            draw = self._random.random()
            await asyncio.sleep(pacing.back_off(tries, draw) if trouble.wait_s is None else trouble.wait_s * (1 + draw / 10))

    async def _try(self, once: Callable[[], Awaitable[T]]) -> T | _Failed:
        try:
            return await once()
        except openai.APITimeoutError:
            return _Failed(_again("timeout"))
        except openai.APIStatusError as error:
            judged = troubles.judge(error.status_code, error.response.headers, error.body)
            return _Failed(judged, error.status_code, frozenset(troubles.codes_of(error.body)))
        except (openai.APIConnectionError, httpx2.TransportError):  # the second: while a body is read
            return _Failed(_again("connection lost"))
        except (_BrokenError, ValueError, openai.APIResponseValidationError) as broken:  # the last two: no JSON
            return _Failed(troubles.explain({"error": getattr(broken, "error", None)}, {}))
        except openai.OpenAIError as error:
            name = type(error).__name__
            return _Failed(Trouble(f"the openai package could not ask ({name}): check the key", again=False, charged=False))


def _again(what: str) -> Trouble:
    return Trouble(f"no answer: {what}", again=True, charged=False)


def _sound(reply: M, kind: type[M]) -> M:
    """The SDK checks nothing: for an HTML page it returns text, for JSON of another form a model that lacks its id."""
    if not isinstance(reply, kind) or not isinstance(getattr(reply, "id", None), str):
        raise _BrokenError(getattr(reply, "error", None))
    return reply

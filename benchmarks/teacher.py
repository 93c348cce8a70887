"""How fast the LLM teacher is asked: `ask_all` against the bare AsyncOpenAI client, in the same run, on the same core.

    python -m benchmarks.teacher                          # both sides in turns; the bar is 0.8 of the bare client
    python -m benchmarks.teacher --profile                # and where ours spends its time
    python -m benchmarks.teacher --requests 100000 --turns 1 --sides ours      # memory: the peak and its course

The server is tests/teacher_server.py in its own process; it answers after 200 ms. With `--cores` it runs on another core than the
clients. The bare client is what a competent user writes: AsyncOpenAI, a semaphore, `chat.completions.create`, one task per
request, no retries, answers discarded. Ours is the real one: client_for, rate limits, budget, retries, and every answer synced to
the journal before its worker goes on. Both send the same bodies: instructions, four worked examples, a schema, and a report of 50
words, 6.4 kB in total.

Every side runs in its own process, and the sides take turns. Seconds are wall time, from the first request to the last. Processor
time per request is printed, too, because other busy processes disturb it less; its inverse is what one core can do. Memory is the
resident set, measured every second; "at first" is after a tenth of the requests.
"""

import asyncio
import cProfile
import hashlib
import json
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).parents[1]
STORE = ROOT / ".store"  # on the disk that journals lie on; /tmp may be memory, where a sync costs nothing
MODEL = "mock-1"
INSTRUCTIONS = "You read reports of chest radiographs and say for each label whether the report says that it is present. " * 12
LABELS = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Fracture", "Lung Lesion", "Lung Opacity", "Pleural Effusion"]
SENTENCES = (
    "Mild enlargement of the heart. A small effusion lies on the left with atelectasis beside it, {n} mm deep. "
    "No pneumothorax. The aorta is tortuous and calcified. Old healed fracture of the left sixth rib, number {n}. "
    "Streaky opacities at the right base may represent atelectasis or early pneumonia."
)
STATUSES = {"type": "string", "enum": ["present", "absent", "uncertain", "unmentioned"]}
ITEM = {
    "type": "object", "properties": {"status": STATUSES, "quote": {"type": "string"}}, "required": ["status", "quote"],
    "additionalProperties": False,
}  # fmt: skip
SCHEMA = {"type": "object", "properties": dict.fromkeys(LABELS, ITEM), "required": LABELS, "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "labels", "strict": True, "schema": SCHEMA}}
EXAMPLE = json.dumps({label: {"status": "unmentioned", "quote": ""} for label in LABELS[:4]})


def body_of(number: int) -> dict[str, Any]:
    messages = [{"role": "system", "content": INSTRUCTIONS}]
    for shown in range(4):
        messages += [{"role": "user", "content": SENTENCES.format(n=-shown)}, {"role": "assistant", "content": EXAMPLE}]
    messages.append({"role": "user", "content": SENTENCES.format(n=number)})
    return {"model": MODEL, "messages": messages, "response_format": FORMAT, "max_tokens": 1024, "temperature": 0.0}


# ------------------------------------------------------------------------- the sides, each in a process of its own


async def bare(url: str, requests: range, in_flight: int) -> None:
    """The bare client: a semaphore and one task per request."""
    from openai import AsyncOpenAI

    slots = asyncio.Semaphore(in_flight)

    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        async def one(number: int) -> None:
            async with slots:
                reply = await client.chat.completions.create(**body_of(number))
                assert reply.choices[0].message.content

        await asyncio.gather(*(one(number) for number in requests))


async def ours(url: str, requests: range, in_flight: int) -> None:
    """Our client, with a journal on disk."""
    from raddistill.llm_client.ask import ask_all
    from raddistill.llm_client.budget import Budget, Price, Prices
    from raddistill.llm_client.clients import client_for
    from raddistill.llm_client.settings import AskingParams
    from raddistill.llm_client.store import Store
    from raddistill.teachers.llm.questions import Question

    os.environ["RADDISTILL_TEACHER_URL"] = url
    asking = AskingParams(
        mode="direct", in_flight=in_flight, requests_per_minute=0, tokens_per_minute=0, timeout_s=60.0, tries=6, budget_usd=1e6,
        prices="", approved_hosts=[], poll_s=1.0,
    )  # fmt: skip
    budget = Budget(asking.budget_usd, Prices({MODEL: Price(input=1, cached_input=1, output=1, batch=1)}), MODEL)
    with tempfile.TemporaryDirectory(dir=STORE if STORE.is_dir() else None) as folder, Store(Path(folder)) as store:

        def still_open(number: int) -> list[Question]:
            body = body_of(number)
            key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
            return [] if key in store else [Question(key, f"r{number}", 0, 0, "json_schema", body, [])]

        async with client_for("compatible", asking, {"phi"}) as client:
            asked = await ask_all(
                requests, still_open, client=client, asking=asking, model=MODEL, store=store, budget=budget, progress=False
            )
        assert (asked.answered, asked.failed, len(store)) == (len(requests), {}, len(requests))


SIDES = {"bare": bare, "ours": ours}


async def timed(side: str, url: str, requests: range, in_flight: int) -> dict[str, Any]:
    """Runs a side and watches its memory (MiB, each second)."""
    sizes: list[float] = []

    async def watch() -> None:
        while True:
            sizes.append(resident())
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    began, cpu = time.perf_counter(), time.process_time()
    await SIDES[side](url, requests, in_flight)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    watching.cancel()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": cpu, "peak": peak, "sizes": [*sizes, resident()]}


def resident() -> float:
    """Returns the resident memory in MiB (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


def run_side(side: str, url: str, first: int, requests: int, in_flight: int, profile: bool) -> None:
    """Runs in the child process: prints the measurement as JSON."""
    import openai  # noqa: F401 - takes a second, which is not timed

    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    got = asyncio.run(timed(side, url, range(first, first + requests), in_flight))
    profiler.disable()
    print(json.dumps(got), flush=True)
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(45)


# ------------------------------------------------------------------------- the run


class Server:
    """tests/teacher_server.py as a process."""

    def __init__(self, latency: float, core: int | None) -> None:
        command = [sys.executable, str(ROOT / "tests/teacher_server.py"), "--latency", str(latency)]
        self._process = subprocess.Popen([*pinned(core), *command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def cpu(self) -> float:
        """Processor seconds so far (Linux)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait()


def pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "--cpu-list", str(core)]


def measure(
    side: str, url: str, first: int, requests: int, processes: int, in_flight: int, core: int | None, profile: bool
) -> list[dict]:
    """Runs a side in several processes at once, each with its share of the requests and of those in flight."""
    share = requests // processes
    children = []
    for number in range(processes):
        given = [side, url, str(first + number * share), str(share), str(in_flight // processes), "1" if profile else ""]
        command = [*pinned(core), sys.executable, "-m", "benchmarks.teacher", "--child", json.dumps(given)]
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
    got = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        sys.exit(f"the side {side} failed")
    return [json.loads(each) for each in got]


def report(side: str, got: list[dict], requests: int, server_s: float) -> float:
    """Prints one measurement; returns requests per second."""
    seconds, cpu = max(each["seconds"] for each in got), sum(each["cpu"] for each in got)
    rate, mine, theirs = requests / seconds, 1000 * cpu / requests, 1000 * server_s / requests
    sizes = got[0]["sizes"]
    course = f"{sizes[len(sizes) // 10]:.0f} at first, {sizes[len(sizes) // 2]:.0f} halfway, {sizes[-1]:.0f} in the end"
    print(
        f"{side:5} {rate:6.0f} requests/s, {mine:.2f} ms of processor a request (server: {theirs:.2f}), "
        f"{100 * cpu / seconds:.0f} % busy, MiB: peak {max(each['peak'] for each in got):.0f}, {course}",
        flush=True,
    )
    return rate


def main(
    requests: Annotated[int, typer.Option(min=10)] = 4000,
    turns: Annotated[int, typer.Option(min=1)] = 3,
    in_flight: Annotated[int, typer.Option(min=1)] = 256,
    latency: Annotated[float, typer.Option(help="Seconds.")] = 0.2,
    processes: Annotated[int, typer.Option(min=1, help="Of each side, with a share of the requests each.")] = 1,
    sides: str = "bare,ours",
    cores: Annotated[bool, typer.Option(help="Client on core 0, server on core 1.")] = False,
    profile: bool = False,
    child: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    if child:
        side, url, first, share, slots, profiled = json.loads(child)
        run_side(side, url, int(first), int(share), int(slots), bool(profiled))
        return
    settings = f"{requests:,} requests, {in_flight} in flight, {1000 * latency:.0f} ms"
    print(f"{settings}, {processes} process(es) a side, {os.cpu_count()} cores", flush=True)
    rates: dict[str, list[float]] = {side: [] for side in sides.split(",")}
    with Server(latency, 1 if cores else None) as server:
        for first, side in turn_order(turns, rates):
            before = server.cpu()
            got = measure(side, server.url, first * requests, requests, processes, in_flight, 0 if cores else None, profile)
            rates[side].append(report(side, got, requests, server.cpu() - before))
    if len(rates) == 2:
        ratios = [mine / theirs for theirs, mine in zip(rates["bare"], rates["ours"], strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"ours / bare: {statistics.median(ratios):.2f} (median of {shown})")


def turn_order(turns: int, rates: dict[str, list[float]]) -> Iterator[tuple[int, str]]:
    """Yields the sides in turns, each time another one first, with a number that keeps the questions of all turns distinct."""
    number = 0
    for turn in range(turns):
        for side in list(rates)[:: 1 if turn % 2 == 0 else -1]:
            yield number, side
            number += 1


if __name__ == "__main__":
    typer.run(main)

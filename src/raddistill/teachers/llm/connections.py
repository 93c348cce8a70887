"""Connections to one server, spread over several pools.

With each request and each reply, httpcore's pool walks over all its connections and probes the socket of every idle one. At 256
in flight a request took 2.2 ms of processor time with one pool, and 1.2 ms with sixteen pools of sixteen.
"""

from collections.abc import Callable

import httpx2

A_POOL = 16  # connections; as fast as 4 or 8 (benchmarks/teacher.py), and 64 takes 40 % more processor time a request


class ManyPools(httpx2.AsyncBaseTransport):
    """Gives each request to the pool that has the fewest under way. How many there are in all is for the caller to bound."""

    def __init__(self, connections: int, make: Callable[[httpx2.Limits], httpx2.AsyncBaseTransport]) -> None:
        """For so many connections; `make` makes one pool, whose limit holds up no request: only idle ones are limited."""
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=min(A_POOL, connections))
        self._pools = [make(limits) for _ in range(-(-connections // A_POOL))]
        self._busy = [0] * len(self._pools)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        number = self._busy.index(min(self._busy))
        self._busy[number] += 1
        try:
            return await self._pools[number].handle_async_request(request)
        finally:  # its body is still to come, but that follows at once
            self._busy[number] -= 1

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()

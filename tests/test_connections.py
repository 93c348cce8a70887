"""Requests spread over pools of connections."""

import asyncio

import httpx2
import pytest
from teacher_server import TeacherServer

from raddistill.teachers.llm.connections import A_POOL, ManyPools


class Pool(httpx2.AsyncBaseTransport):
    """Answers when told; `/broken` never."""

    def __init__(self, limits: httpx2.Limits) -> None:
        self.limits, self.under_way, self.most, self.closed = limits, 0, 0, False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.01)
            if request.url.path == "/broken":
                raise httpx2.ReadError("broken")
            return httpx2.Response(200)
        finally:
            self.under_way -= 1

    async def aclose(self) -> None:
        self.closed = True


def made(connections: int) -> tuple[ManyPools, list[Pool]]:
    pools: list[Pool] = []

    def make(limits: httpx2.Limits) -> Pool:
        pools.append(Pool(limits))
        return pools[-1]

    return ManyPools(connections, make), pools


def get(client: httpx2.AsyncClient, n: int, path: str = "/") -> "asyncio.Future[list[httpx2.Response | BaseException]]":
    return asyncio.gather(*(client.get(f"http://nowhere.invalid{path}") for _ in range(n)), return_exceptions=True)


@pytest.mark.parametrize(("connections", "pools"), [(1, 1), (16, 1), (17, 2), (256, 16)])
def test_as_many_pools_as_it_takes(connections: int, pools: int) -> None:
    _, made_pools = made(connections)
    assert len(made_pools) == pools
    assert all((pool.limits.max_keepalive_connections or 0) <= A_POOL for pool in made_pools)
    assert all(pool.limits.max_connections == connections for pool in made_pools)  # no request waits for a connection


def test_each_request_goes_where_the_fewest_are_under_way() -> None:
    transport, pools = made(64)

    async def go() -> None:
        async with httpx2.AsyncClient(transport=transport) as client:
            await get(client, 64)
            assert [pool.most for pool in pools] == [16] * 4
            broken = await get(client, 64, "/broken")
            assert all(isinstance(each, httpx2.ReadError) for each in broken)
            await get(client, 64)
            assert [pool.most for pool in pools] == [16] * 4  # a request that failed is not under way any more

    asyncio.run(go())
    assert all(pool.closed for pool in pools)


def test_one_at_a_time_keeps_to_one_connection() -> None:
    transport, pools = made(64)

    async def go() -> None:
        async with httpx2.AsyncClient(transport=transport) as client:
            for _ in range(5):
                await get(client, 1)

    asyncio.run(go())
    assert [pool.most for pool in pools] == [1, 0, 0, 0]


def test_on_real_sockets() -> None:
    async def go(url: str) -> list[int]:
        transport = ManyPools(40, lambda limits: httpx2.AsyncHTTPTransport(limits=limits))
        async with httpx2.AsyncClient(transport=transport, timeout=10.0) as client:
            replies = [await asyncio.gather(*(client.get(f"{url}/models") for _ in range(40))) for _ in range(3)]
            return [reply.status_code for each in replies for reply in each]

    with TeacherServer(latency=0.01) as server:
        assert asyncio.run(go(server.url)) == [200] * 120

"""A leaky bucket that is told the true rate: what a client can do that knows the limit already.

The bucket holds one call, since nobody told it the provider's burst. What is refused all the same is sent again.
"""

from __future__ import annotations

import asyncio

import httpx
from aiolimiter import AsyncLimiter

from benchmarks.peers.script import AT_ONCE, RETRIES, Job, read_job, report


async def main(job: Job) -> int:
    slots = asyncio.Semaphore(AT_ONCE)
    limiter = AsyncLimiter(1, 60 / job.rate_per_min) if job.rate_per_min else None

    async def ask(http: httpx.AsyncClient, prompt: str) -> bool:
        body = {"model": "twin", "messages": [{"role": "user", "content": prompt}]}
        async with slots:
            for _ in range(RETRIES + 1):
                if limiter:
                    await limiter.acquire()
                answer = await http.post(f"{job.base_url}/chat/completions", json=body, timeout=60)
                if answer.is_success:
                    return True
            return False

    async with httpx.AsyncClient(headers={"authorization": "Bearer twin"}) as http:
        return sum(await asyncio.gather(*(ask(http, prompt) for prompt in job.prompts)))


job = read_job()
report(job, asyncio.run(main(job)), "aiolimiter")

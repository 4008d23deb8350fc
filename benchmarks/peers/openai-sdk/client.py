"""The vendor's own client: its retries follow Retry-After, and nothing else holds a call back."""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI, OpenAIError

from benchmarks.peers.script import AT_ONCE, RETRIES, Job, read_job, report


async def main(job: Job) -> int:
    slots = asyncio.Semaphore(AT_ONCE)

    async def ask(client: AsyncOpenAI, prompt: str) -> bool:
        async with slots:
            try:
                await client.chat.completions.create(model="twin", messages=[{"role": "user", "content": prompt}])
            except OpenAIError:
                return False
            return True

    async with AsyncOpenAI(base_url=job.base_url, api_key="twin", max_retries=RETRIES) as client:
        return sum(await asyncio.gather(*(ask(client, prompt) for prompt in job.prompts)))


job = read_job()
report(job, asyncio.run(main(job)), "openai")

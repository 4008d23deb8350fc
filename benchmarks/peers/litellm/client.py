"""A router in front of many vendors, with one deployment behind it."""

from __future__ import annotations

import asyncio

from litellm import Router

from benchmarks.peers.script import AT_ONCE, RETRIES, Job, read_job, report


async def main(job: Job) -> int:
    deployment = {"model": "openai/twin", "api_base": job.base_url, "api_key": "twin"}
    router = Router(model_list=[{"model_name": "twin", "litellm_params": deployment}], num_retries=RETRIES)
    slots = asyncio.Semaphore(AT_ONCE)

    async def ask(prompt: str) -> bool:
        async with slots:
            try:
                await router.acompletion(model="twin", messages=[{"role": "user", "content": prompt}])
            except Exception:  # its own errors and the vendor's: whichever it is, the call is not done
                return False
            return True

    return sum(await asyncio.gather(*(ask(prompt) for prompt in job.prompts)))


job = read_job()
report(job, asyncio.run(main(job)), "litellm")

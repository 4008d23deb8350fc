"""Our own: one page a call through the router and its throttle, as the pipeline drives them."""

from __future__ import annotations

import asyncio
import random
import time

from benchmarks.peers.challenges import SPACE
from benchmarks.peers.script import AT_ONCE, Job, read_job, report
from tagspace_lab.clients.http import open_http
from tagspace_lab.clients.models import OpenAIModel
from tagspace_lab.pipeline.router import Endpoint, Router
from tagspace_lab.pipeline.throttle import Throttle
from tagspace_lab.policy.limits import make_limiter
from tagspace_lab.policy.prompts import LabelRules
from tagspace_lab.records import Attempt, Batch, Status, Text
from tagspace_lab.settings import Settings


async def main(job: Job) -> int:
    settings = Settings(batch_size=1, max_ai_concurrency=AT_ONCE, fallback="never").with_changes(throttle=job.throttle)
    rng = random.Random(job.seed)  # noqa: S311 - jitter, not a secret
    attempts: list[Attempt] = []
    async with open_http() as http:
        model = OpenAIModel(http, job.base_url, "twin", "twin", settings.request_timeout_s, time.time)
        router = Router(
            Endpoint("primary", model, Throttle(make_limiter(settings, rng))),
            None,
            settings=settings,
            rules=LabelRules(SPACE.vocabulary, settings.max_labels),
            rng=rng,
            record=attempts.append,
        )
        batches = [Batch((_text(index),)) for index in range(job.calls)]
        return sum(await asyncio.gather(*(_count_tagged(router, batch) for batch in batches)))


async def _count_tagged(router: Router, batch: Batch) -> int:
    return sum([tagging.status is Status.TAGGED async for taggings in router.tag(batch) for tagging in taggings])


def _text(index: int) -> Text:
    page = SPACE.page(index)
    return Text(page.id, page.title, f"Say hi {index}", 4, page.id)


job = read_job()
report(job, asyncio.run(main(job)), "tagspace-lab")

"""The adaptive retry mode of a cloud's SDK, put around a plain POST: its limiter and its back-off, wired as it does.

`botocore.retries.adaptive.register_retry_handler` is the original of `main`.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.retries import adaptive, bucket, standard, throttling
from urllib3 import PoolManager

from benchmarks.peers.script import AT_ONCE, RETRIES, Job, read_job, report


class StatusDetector:
    """Tells the limiter, and the back-off, that an answer was a refusal."""

    def is_throttling_error(self, *, status: int, **_: Any) -> bool:
        return status == 429

    def is_throttling_error_from_context(self, _: standard.RetryContext) -> bool:
        return True  # only refusals are backed off from here


def make_limiter() -> adaptive.ClientRateLimiter:
    clock = bucket.Clock()
    return adaptive.ClientRateLimiter(
        rate_adjustor=throttling.CubicCalculator(starting_max_rate=0, start_time=clock.current_time()),
        rate_clocker=adaptive.RateClocker(clock),
        token_bucket=bucket.TokenBucket(max_rate=1, clock=clock),
        throttling_detector=StatusDetector(),
        clock=clock,
    )


def main(job: Job) -> int:
    limiter, backoff = make_limiter(), standard.ExponentialBackoff(throttling_detector=StatusDetector())
    http = PoolManager(maxsize=AT_ONCE, retries=False)

    def ask(prompt: str) -> bool:
        body = json.dumps({"model": "twin", "messages": [{"role": "user", "content": prompt}]})
        headers = {"authorization": "Bearer twin", "content-type": "application/json"}
        for attempt in range(1, RETRIES + 2):
            limiter.on_sending_request(request=None)
            status = http.request("POST", f"{job.base_url}/chat/completions", body=body, headers=headers).status
            limiter.on_receiving_response(status=status)
            if status == 200:
                return True
            time.sleep(backoff.delay_amount(standard.RetryContext(attempt_number=attempt)))
        return False

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sum(threads.map(ask, job.prompts))


job = read_job()
report(job, main(job), "botocore")

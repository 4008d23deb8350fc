"""The names that host applications call: their own Confluence client and agent, on the pipeline of this package.

A host brings two objects: `confluence` with `async get_page(page_id) -> dict` (`id`, `title`, `body`, `version`) and
`agent` with `async generate(prompt: str) -> str`. It gets the cache, the batches, the learned throttle, the retries and
the fallback. Five steps, each with a check that takes a minute, and the way back. In the examples

>>> import asyncio
>>> from tagspace_lab.integration import reset
>>> reset()
>>> class Confluence:
...     async def get_page(self, page_id):
...         return {"id": page_id, "title": f"Page {page_id}", "body": f"<p>Text {page_id}</p>", "version": 1}
>>> class TaggingAgent:
...     async def generate(self, prompt):
...         return "howto, network"

stand for the host's own.

**1. Install, and set the five variables.** `pip install tagspace-lab`, then `TAG_SPACE_AI_CONCURRENCY=3`,
`TAG_SPACE_MAX_AI_CONCURRENCY=10`, `TAG_SPACE_BATCH_SIZE=5`, `TAG_SPACE_CACHE_ENABLED=true`, `TAG_SPACE_CACHE_SIZE=1000`
(the defaults) in the environment of the process, or a profile that `tagspace-lab tune` wrote. They are read at the
first call, and again when one of them changes. With `TAG_SPACE_LOG_DIR=logs` two rotating files are written there:
`ai_router.log` (refusals, waits, fallbacks) and `app.log` (the rest, a summary of each run among it), which
`tagspace-lab monitor --log logs` watches. Check: the settings are what you set.

>>> from tagspace_lab.integration import get_batch_processor, get_concurrency_manager
>>> manager = get_concurrency_manager()
>>> manager.current_concurrency, manager.max_concurrency, get_batch_processor().batch_size
(3, 10, 5)

**2. Send the calls that you make already through the throttle.** What was `await agent.generate(prompt)` becomes
`await manager.call_with_limit(agent.generate(prompt))`: same result, same exceptions. Check: the calls are counted.

>>> asyncio.run(manager.call_with_limit(TaggingAgent().generate("Tag this")))
'howto, network'
>>> manager.metrics["total_ai_calls"], manager.metrics["rate_limit_errors"]
(1, 0)

**3. Name a second provider, if there is one.** Check: with the first one broken the answer still comes.

>>> from tagspace_lab.integration import AIProviderRouter
>>> class Broken:
...     async def generate(self, prompt):
...         raise RuntimeError("HTTP 503")
>>> router = AIProviderRouter(primary=Broken(), fallback=TaggingAgent())
>>> asyncio.run(router.generate("Tag this")), manager.metrics["fallback_switches"]
('howto, network', 1)

**4. Tag pages through the pipeline.** Check: every page is in the results once, none is an error, and a second run asks
nothing.

>>> from tagspace_lab.integration import OptimizedTagSpacePipeline
>>> pipeline = OptimizedTagSpacePipeline(Confluence(), TaggingAgent())
>>> first = asyncio.run(pipeline.process_space(page_ids=["1", "2"], task_id="try"))
>>> first["results"][0]["tags"], first["processed"], first["errors"]
(['howto', 'network'], 2, 0)
>>> second = asyncio.run(pipeline.process_space(page_ids=["1", "2"], task_id="again"))
>>> second["cache_stats"]["hit_rate"], second["concurrency_metrics"]["total_ai_calls"]
(1.0, 0)

**5. Run whole spaces as tasks.** `TASK_PROGRESS[task_id]` has `processed` and `total` while it runs, and
`ACTIVE_TASKS[task_id] = False` stops it after what is in flight. Dry runs come first: labels are written only with
`dry_run=False`, by the host's `async add_labels(page_id, labels)`. Check: the counts agree with the space.

>>> from tagspace_lab.integration import TASK_PROGRESS, BulkTaggingService
>>> service = BulkTaggingService(Confluence(), TaggingAgent())
>>> done = asyncio.run(service.tag_space(space_key="DOCS", page_ids=["1", "2", "3"], task_id="docs"))
>>> done["total"], done["success"], done["errors"], done["dry_run"], TASK_PROGRESS["docs"]["status"]
(3, 3, 0, True, 'done')

**The way back.** Each step can be taken back alone, and nothing has to be undone elsewhere: the cache lives in this
process. For a run like those of before set `TAG_SPACE_BATCH_SIZE=1`, `TAG_SPACE_CACHE_ENABLED=false` and
`TAG_SPACE_AI_CONCURRENCY=1`; to leave, take the calls out again. Check: :func:`reset` forgets all that was learned.

>>> reset()
>>> get_concurrency_manager().metrics["total_ai_calls"], len(TASK_PROGRESS)
(0, 0)

Agents answer with the JSON that the prompt asks for. Fenced JSON, a dict from page id to tags, a list of objects with
`page_id` and `tags`, lines such as `1001: howto, network`, and for a single page a plain list are understood as well;
a batch whose answer cannot be told apart by page is asked again in halves. What an agent raises is read for a status
(`status_code`, `response`), headers (`Retry-After`, rate limits) and words: a 429 teaches the throttle and costs the
page nothing, a spent quota ends the calls to that provider, other errors are tried again.
"""

from __future__ import annotations

from tagspace_lab.integration.batches import BatchProcessor
from tagspace_lab.integration.bulk import BulkTaggingService
from tagspace_lab.integration.caches import AiCache
from tagspace_lab.integration.concurrency import ConcurrencyManager
from tagspace_lab.integration.hosts import Agent, HostConfluence
from tagspace_lab.integration.routing import AIProviderRouter
from tagspace_lab.integration.spaces import OptimizedTagSpacePipeline
from tagspace_lab.integration.state import ACTIVE_TASKS, TASK_PROGRESS, reset, shared

__all__ = [
    "ACTIVE_TASKS",
    "TASK_PROGRESS",
    "AIProviderRouter",
    "Agent",
    "AiCache",
    "BatchProcessor",
    "BulkTaggingService",
    "ConcurrencyManager",
    "HostConfluence",
    "OptimizedTagSpacePipeline",
    "get_ai_cache",
    "get_batch_processor",
    "get_concurrency_manager",
    "reset",
]


def get_concurrency_manager() -> ConcurrencyManager:
    """The process's throttle: always the same one, until a setting changes."""
    return shared().manager


def get_ai_cache() -> AiCache:
    """The process's cache: always the same one, until a setting changes."""
    return shared().cache


def get_batch_processor() -> BatchProcessor:
    """The process's batch processor: always the same one, until a setting changes."""
    return shared().batches


reset()  # a host that reloads this module begins anew

"""A program for bulk prompts: it reads the limit from one answer's headers, else keeps to a default of its own."""

from __future__ import annotations

import os
from importlib.resources import files

from benchmarks.peers.script import RETRIES, read_job, report

# It counts tokens with an encoding that it would download; litellm, which it needs, ships the same file.
os.environ["TIKTOKEN_CACHE_DIR"] = str(files("litellm") / "litellm_core_utils" / "tokenizers")

from bespokelabs import curator

job = read_job()
backend = {"base_url": job.base_url, "api_key": "twin", "max_retries": RETRIES}
model = curator.LLM(model_name="twin", backend="openai", backend_params=backend)
answers = model(job.prompts).dataset
report(job, sum(bool(answer) for answer in answers["response"]), "bespokelabs-curator")

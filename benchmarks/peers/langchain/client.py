"""A batch of prompts through a chain's model, in its pool of threads."""

from __future__ import annotations

from langchain_openai import ChatOpenAI

from benchmarks.peers.script import AT_ONCE, RETRIES, read_job, report

job = read_job()
model = ChatOpenAI(model="twin", base_url=job.base_url, api_key="twin", max_retries=RETRIES)
answers = model.batch(job.prompts, config={"max_concurrency": AT_ONCE}, return_exceptions=True)
report(job, sum(not isinstance(answer, Exception) for answer in answers), "langchain-openai")

# %% [markdown]
# # How do my own wiki and my own provider get in here, and how true is the copy?
#
# What a study finds is as good as its space and its scenario. A space comes from a folder of pages or from a live Confluence. A scenario comes from the trace of a real run, which holds times, status, limits and tokens, no text and no key.
#
# On the command line: `tagspace-lab snapshot folder DIR -o my.jsonl.gz`, `tagspace-lab snapshot confluence DOCS -o my.jsonl.gz`, `tagspace-lab tag DOCS --trace docs.trace`, `tagspace-lab calibrate docs.trace -o mine.toml --check`. With files of your own: `tagspace-lab notebook 07 --set folder=DIR --set trace=docs.trace -o out.ipynb`.

# %%
import random
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

# %%
import pandas as pd

import tagspace_lab as tl

# %%
from tagspace_lab.lab.calibration.calibration import calibrate
from tagspace_lab.lab.calibration.check import check
from tagspace_lab.lab.folders import write_folder
from tagspace_lab.lab.wikis import snapshot_wiki

# %%
from tagspace_lab.lab.world import serve
from tagspace_lab.live.connections import load_connections
from tagspace_lab.pipeline.traces import TraceWriter
from tagspace_lab.twin.app import build_app

# %% tags=["parameters"]
space = "medium"
scenario = "guide"
folder = ""
trace = ""

# %% [markdown]
# Without a folder and a trace of yours, this notebook makes both: the pages of a shipped space as files, and the trace of a run in the twin.
#
# ## From a folder
#
# Markdown or HTML files, with the labels in their front matter. A page that cannot be read is left out and named.

# %%
scratch = TemporaryDirectory()
work = Path(scratch.name)
pages = Path(folder) if folder else write_folder(tl.load_space(space), work / "pages")
read = tl.snapshot_folder(pages, work / "folder.jsonl.gz")

# %%
print(f"{read.pages} pages, {read.labelled} with gold labels, {read.without_text} without text")
print(*read.problems[:10], sep="\n")

# %% [markdown]
# ## From Confluence
#
# Here it is the twin's, served on this machine over real HTTP. Yours is read the same way, with its address and your token in the environment; nothing is changed in the wiki.

# %%
wiki, here = tl.load_space("small"), {"CONFLUENCE_USERNAME": "me", "CONFLUENCE_API_TOKEN": "any"}
with serve(build_app(tl.load_scenario(scenario), wiki, wall_clock=time.time)) as url:
    connections = load_connections(here | {"CONFLUENCE_URL": url})
    target, rng = work / "wiki.jsonl.gz", random.Random(0)
    copied = await snapshot_wiki(connections, wiki.key, target, rng=rng, wall_clock=time.time)

# %%
pairs = [(wiki.page(number), tl.load_space(target).page(number)) for number in range(len(wiki))]
same = sum(page.title == copy.title and page.body == copy.body for page, copy in pairs)
print(f"{copied.pages} pages copied, {same} of {len(wiki)} the same, {copied.labelled} with labels.")

# %% [markdown]
# The labels that pages carry in a wiki become their gold labels. A wiki that nobody has labelled has none, and then nothing can be said of quality.
#
# ## From a recorded run
#
# A live run appends to a trace what each attempt met; a replay can do the same.

# %%
recorded = Path(trace) if trace else work / "run.trace"
if not trace:
    with closing(TraceWriter(recorded)) as writer:
        tl.replay(space, scenario, runs=1, seed=1, trace=writer)

# %% [markdown]
# The trace becomes a scenario. Each value says how sure it is and where it was seen; what the run did not meet keeps its default, and is said to be *not seen*.

# %%
calibration = calibrate(recorded, "mine")
findings = pd.DataFrame(calibration.to_dict()["findings"]).set_index("key")
findings[["value", "low", "high", "source"]].round(3).astype(object).fillna("")

# %% [markdown]
# ## How true it is
#
# The recorded run again, in the scenario that was fitted to it, with other luck each time. It counts as close where the makespan is within a twentieth, the slow end of the latencies within a tenth, and the refusals within two.

# %%
result = check(calibration)
columns = ["figure", "recorded", "twin", "lowest", "highest", "error"]
pd.DataFrame(result.rows(), columns=columns).set_index("figure").round(3)

# %% [markdown]
# ## Both together
#
# The snapshot of the folder, replayed in the scenario of the trace, and what today's settings are worth there:

# %%
mine = work / "mine.toml"
mine.write_text(calibration.to_toml(), "utf-8")
report = tl.replay(work / "folder.jsonl.gz", mine, runs=1)
ax = report.plot()

# %% [markdown]
# ## Answer
#
# A snapshot and a scenario are two files, and what every other notebook takes: `tagspace-lab notebook 05 --space my.jsonl.gz --scenario mine.toml -o out.ipynb`. How far they can be believed:

# %%
run = report.runs[0]
print("The copy of the provider is", "close." if result.is_close else f"not close: {', '.join(result.misses)}.")
print(f"{run.pages} pages take {run.makespan_s:.1f} s there, bound by {run.binds}; the recorded run took", end=" ")
print(f"{result.recorded.makespan_s:.1f} s.")

# %% [markdown]
# **Its doubt.** What a run did not meet, it cannot tell: a limit that was never reached, a worse hour of the day, another batch size. And a trace holds no labels, so that quality stays what the scenario says by default.

# %%
print(*calibration.notes, sep="\n")
scratch.cleanup()

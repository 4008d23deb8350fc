# %% [markdown]
# # How long does it take to tag this wiki, and what holds it back?
#
# A *space* is a wiki's pages. A *scenario* is a provider with its limits, latencies and faults. A *replay* runs the real tagging pipeline on the one against the other in virtual time: minutes pass in a second or less, no key is needed, nothing is sent anywhere.
#
# On the command line: `tagspace-lab replay medium --scenario anthropic-tier1`, and `tagspace-lab sweep medium --scenario openai-tier1 --batch-size 1,5,15 --max-concurrency 3,10,30`. On a space of your own: `tagspace-lab notebook 01 --space my.jsonl.gz -o out.ipynb`, or, here and in every other notebook, put the path of its snapshot into the cell below.

# %% tags=["parameters"]
space = "medium"
scenario = "anthropic-tier1"
other_scenario = "openai-tier1"

# %%
import tagspace_lab as tl

wiki = tl.load_space(space)
page = wiki.page(0)
len(wiki), page.title, page.labels

# %% [markdown]
# The pages of a shipped space are generated and carry gold labels, by which the answers are judged. A snapshot of a wiki of your own works the same way: `07_bring_your_own_space` makes one.
#
# ## One replay
#
# The first run meets an empty cache. The second comes a day later, when some pages have been edited.

# %%
report = tl.replay(wiki, scenario)
report

# %% [markdown]
# The *bound* is the time that no client can beat with these limits, these answers, this batch size and this many calls at once; the *makespan* is the time that it took. What stands beside the bound is what holds the run back: a limit of the provider, or `concurrency`, the ceiling of the settings. The throttle was told none of the limits; it found them while it ran.

# %%
ax = report.plot()

# %% [markdown]
# The cache makes the second run a small matter. And every number can be asked for its reasons: there is a table of all requests, and one of all pages.

# %%
columns = ["run", "call", "number", "outcome", "started_s", "ended_s", "waited_s", "window"]
report.attempts[columns].head().round(2)

# %% [markdown]
# ## The way of before
#
# One page a call, a fixed number of calls in flight, no cache. Beside its own bound that can look perfect, because a call for each page has made the bound itself longer. The *best bound*, which may choose the batch size, is the fairer yardstick. It is reckoned from the answers that the run got, so that each run has its own; the picture shows the lower one.

# %%
before = tl.replay(wiki, scenario, baseline=True, runs=1)
ax = tl.plot_before_after({"one page a call": before.runs[0], "today's settings": report.runs[0]})

# %%
before.summary[["makespan_s", "bound_s", "best_bound_s", "efficiency", "best_efficiency", "hit_rate"]].round(2)

# %% [markdown]
# ## Another provider, another answer
#
# Where the limits are wide, the settings are what holds the run back. The window begins small and has to grow.

# %%
other = tl.replay(wiki, other_scenario)
ax = other.plot()

# %% [markdown]
# Whether settings are worth a search is seen from a *sweep*, which replays a grid of them. The lighter, the faster:

# %%
grid = {"batch_size": [1, 5, 15], "max_ai_concurrency": [3, 10, 30]}
frame = tl.sweep(wiki, other_scenario, grid)
ax = tl.plot_map(frame)

# %%
best = frame.query("run == 1").nsmallest(3, "makespan_s")
best[["batch_size", "max_ai_concurrency", "makespan_s", "best_bound_s", "rate_limit_errors", "f1"]].round(3)

# %% [markdown]
# ## The same again
#
# Virtual time has no weather: the same seed gives the same report, to the last byte.

# %%
again = tl.replay(wiki, scenario)
again.to_json() == report.to_json()

# %% [markdown]
# ## Answer
#
# It depends on what binds, and the replay says which it is. Where a run is near its best bound, only a higher limit would help; where it is not, most of the time is the settings' own, and `05_tune_and_export` looks for better ones.

# %%
for name, run in {scenario: report.runs[0], other_scenario: other.runs[0]}.items():
    print(f"{name}: {run.makespan_s:.1f} s, bound by {run.binds}, {run.best_efficiency:.0%} of the best possible")

# %% [markdown]
# **Its doubt.** The provider is a model of one, with the limits and latencies that the scenario states. Recorded numbers of your own provider would say more.

# %%
print(*report.notes, sep="\n")

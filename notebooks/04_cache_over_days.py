# %% [markdown]
# # How many answers should the cache hold for a job that runs every night?
#
# The nightly job looks at every page again, and only those that changed since need a new answer. That is the worst case for most caches: pages come round in the same order, so a cache that is a little too small drops each answer just before it is asked for. This one knows where a run ends, and keeps what it can hold.
#
# On the command line: `tagspace-lab sweep medium --scenario guide --cache-size 38,75,150 --runs 15`. On a space of your own: `tagspace-lab notebook 04 --space my.jsonl.gz -o out.ipynb`.

# %%
import tagspace_lab as tl
from tagspace_lab.lab.caches import hits_by_day

# %% tags=["parameters"]
space = "medium"
scenario = "guide"
days = 15
shares = [0.25, 0.5, 0.75, 1.0]

# %%
wiki = tl.load_space(space)
sizes = sorted({max(1, round(share * len(wiki))) for share in shares})
print(f"{wiki.name}: {len(wiki)} pages, edits of {wiki.last_day} days known; caches of {sizes} entries.")

# %% [markdown]
# ## What is hit, and what could be
#
# A run a day, after each day's edits. Behind each line stands Belady's: the most that any cache of that size could hit over all days together, if it knew the future.

# %%
hits = hits_by_day(wiki, sizes, days)
ax = tl.plot_hits(hits)

# %% [markdown]
# Over all days but the first, which can hit nothing:

# %%
later = hits[hits["day"] > 0].groupby("cache_size")[["hit_rate", "best_hit_rate"]].mean()
later.assign(of_the_possible=later["hit_rate"] / later["best_hit_rate"]).round(3)

# %% [markdown]
# ## What a miss costs
#
# The same days as whole runs against the provider. The first run is the same for every size; what differs is every night after it.

# %%
frame = tl.sweep(wiki, scenario, {"cache_size": sizes}, runs=days)
frame["tokens"] = frame["input_tokens"] + frame["output_tokens"]
nights = frame[frame["run"] > 1].groupby("cache_size")[["makespan_s", "calls", "tokens", "rate_limit_errors"]].mean()
nights.round(1)

# %% [markdown]
# The last of these nights alone, which may have had few edits:

# %%
ax = tl.plot_sweep(frame, x="cache_size", run=days)

# %% [markdown]
# ## Answer
#
# The smallest cache whose nights are as short as the best, within a tenth. An entry is small, some hundred bytes of labels, so that it is usually the whole space:

# %%
size = nights.index[nights["makespan_s"] <= 1.1 * nights["makespan_s"].min()][0]
print(f"{size} entries for {len(wiki)} pages; a night takes:")
print(f"with {size} entries {nights.makespan_s[size]:.1f} s and {nights.calls[size]:.1f} calls,", end=" ")
print(f"with {sizes[0]} entries {nights.makespan_s.iloc[0]:.1f} s and {nights.calls.iloc[0]:.1f} calls.")

# %% [markdown]
# **Its doubt.** The edits are those that the space knows: a snapshot of today's pages knows none, and then every night but the first hits everything there is room for. Several spaces that share one store need room for all of them. And a change of the vocabulary, the prompt or the model makes every answer a new question.

# %%
print(f"Edits known: {wiki.last_day} days; nights asked for: {days - 1}.")

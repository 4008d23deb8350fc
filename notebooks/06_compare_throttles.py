# %% [markdown]
# # Which throttle finds limits that nobody tells it, and what does it pay for that?
#
# A throttle decides how many calls are in flight and when the next one may go. The limits are unknown, so it has to learn them from refusals, or from what the headers of answers tell. Each 429 that it meets is a lesson; too many are a storm, and a throttle that learns nothing stays below what was allowed, or runs into it again and again.
#
# On the command line: `TAG_SPACE_THROTTLE` names the throttle in any profile, and `python -m benchmarks` races all of them over many more regimes. On a space of your own: `tagspace-lab notebook 06 --space my.jsonl.gz --scenario mine.toml -o out.ipynb`.

# %%
import tagspace_lab as tl
from tagspace_lab.lab.races import race_all, tabulate_scores
from tagspace_lab.policy.limits import LIMITERS

# %% tags=["parameters"]
space = "medium"
scenario = "guide"
regimes = 6

# %% [markdown]
# ## In regimes that nobody chose
#
# Rates, caps, windows, headers, latencies and what goes wrong are drawn at random, each regime by its number; these are the first. In each every throttle makes the same calls, over the same HTTP messages, beside an *oracle*: a greedy client that knows the limits.

# %%
scores = race_all(range(regimes))
ax = tl.plot_throttles(scores)

# %% [markdown]
# ## On this space, with this provider
#
# The whole pipeline with today's settings, only the throttle differs.

# %%
frame = tl.sweep(space, scenario, {"throttle": list(LIMITERS)}, runs=1).set_index("throttle")
columns = ["makespan_s", "efficiency", "rate_limit_errors", "attempts", "settled_concurrency"]
frame[columns].sort_values("makespan_s").round(2)

# %% [markdown]
# The one that the package uses, and the shortest run of all the others, second by second:

# %%
ax = tl.replay(space, scenario, runs=1).plot_throttle()

# %%
rival = frame["makespan_s"].drop("learned").idxmin()
ax = tl.replay(space, scenario, tl.Settings(throttle=rival), runs=1).plot_throttle()

# %% [markdown]
# ## Answer
#
# A throttle is judged by two numbers at once: how long the run takes, and how many refusals it took to get there. On this space, each run beside its own bound, which is reckoned from the batches and answers that it had; and over the regimes (shares of the oracle's speed, 429s a call, and calls that were never answered):

# %%
for name, run in frame.loc[["learned", rival]].iterrows():
    print(f"{name}: {run.makespan_s:.1f} s, of which the bound is {run.bound_s:.1f} s;", end=" ")
    print(f"{run.rate_limit_errors} 429s, {run.fallbacks} fallbacks")

# %%
table = tabulate_scores(scores)
table.round(3)

# %% [markdown]
# **Its doubt.** So few regimes rank neighbours by luck; `benchmarks/RESULTS.md` has hundreds, with what falls short. And the oracle is greedy, not the optimum: it can be beaten.

# %%
print(f"{regimes} regimes, {len(LIMITERS)} throttles.")

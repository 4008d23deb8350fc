# %% [markdown]
# # Which settings should the nightly job of this wiki use, and how sure are we?
#
# Today's settings are a guess that suits many wikis. A *study* tries others against a model of the provider, and a better guess counts only where it is proved on luck that the study never saw.
#
# On the command line: `tagspace-lab tune medium --scenario openai-tier1 --trials 10 --seeds 2 -o tuned.env`, then `tagspace-lab verify tuned.env medium --scenario openai-tier1`. On a space of your own: `tagspace-lab notebook 05 --space my.jsonl.gz --scenario mine.toml --set trials=40 -o out.ipynb`.

# %%
from pathlib import Path

import tagspace_lab as tl

# %% tags=["parameters"]
space = "medium"
scenario = "openai-tier1"
trials = 10
seeds = 2
other_scenario = "anthropic-tier1"
profile = "tuned.env"

# %%
wiki = tl.load_space(space)
today = tl.replay(wiki, scenario)
today

# %% [markdown]
# The first run meets an empty cache, the second comes a day of edits later. What lies between the first makespan and the best bound is what other settings, or a better throttle, might save.

# %%
ax = today.plot()

# %% [markdown]
# ## The study
#
# Each trial is replayed on several seeds, cold and after a day of edits. What is sought is a short makespan; refusals, lost quality and errors have limits of their own, and tokens, cache entries and concurrency a small price. The first trials are today's settings, those that the bound suggests, and careful ones.

# %%
tuned = tl.tune(wiki, scenario, trials=trials, seeds=seeds)
ax = tuned.plot()

# %%
columns = ["origin", "ai_concurrency", "max_ai_concurrency", "batch_size", "objective_s", "makespan_s", "f1_loss"]
tuned.trials.nsmallest(5, "objective_s")[columns].round(3)

# %% [markdown]
# The best trial of a study is also its luckiest. So the best few were measured again on fresh seeds, the winner of these was compared with today's settings on more fresh seeds, pair by pair, and only that is reported:

# %%
tuned

# %%
ax = tl.plot_gain(tuned.verification)

# %% [markdown]
# ## The profile
#
# A profile is a `.env` file that python-dotenv, Docker, bash and systemd all read alike. It says where it comes from. Here is what was written, in place of any file of that name, and what it changes:

# %%
tuned.export(profile, force=True)
print(Path(profile).read_text())

# %%
changes = tl.diff_profiles(tl.read_profile("default"), tl.read_profile(profile))
lines = [f"{change.variable}: {change.before} -> {change.after}" for change in changes]
print(*lines or ["nothing: today's settings are kept"], sep="\n")

# %% [markdown]
# ## Does it hold elsewhere?
#
# First for a wiki that the study never saw, as large as this one, with the same provider:

# %%
other = tl.GeneratedSpace("another wiki", pages=len(wiki), seed=8)
elsewhere = tl.verify(profile, other, scenario, beside=(), seeds=4)
elsewhere

# %% [markdown]
# Then for the same wiki, with a provider that has other limits:

# %%
changed = tl.verify(profile, wiki, other_scenario, beside=(), seeds=4)
changed

# %% [markdown]
# ## Answer
#
# The settings to use are those of the profile above, and this is what they are worth:

# %%
print(tuned.verdict())
print("Another wiki:", elsewhere.verdict())
print("Another provider:", changed.verdict())

# %% [markdown]
# **Its doubt.** A profile is only as good as the scenario that it was tuned for: with another provider it may gain nothing, or lose. The intervals cover the luck of the seeds, not the distance between the model and the real provider; and quality is modelled, not measured. Start with the profile, watch the refusals, and keep `conservative` as the way back: `08_go_live` goes through it.

# %%
print(f"Proved on {len(tuned.verification.seeds)} seeds that the study did not see; it saw {len(tuned.study_seeds)}.")

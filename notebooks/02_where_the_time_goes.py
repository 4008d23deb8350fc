# %% [markdown]
# # Where does the time of a run go, and what would give it back?
#
# A run waits for three things: for the provider to let a call in, for a free slot, and for answers. Which of them it is decides what to do: ask for a higher limit, change a setting, or nothing.
#
# On the command line: `tagspace-lab replay medium --scenario guide --json > report.json`, then `tagspace-lab diagnose report.json`. On a space of your own: `tagspace-lab notebook 02 --space my.jsonl.gz --scenario mine.toml -o out.ipynb`.

# %%
import matplotlib.pyplot as plt

import tagspace_lab as tl
from tagspace_lab.operations.diagnose import diagnose, proposed_settings
from tagspace_lab.operations.evidence import evidence_of_report

# %% tags=["parameters"]
space = "medium"
scenario = "guide"

# %%
report = tl.replay(space, scenario, runs=1)
report

# %% [markdown]
# ## One picture
#
# Above: calls in flight, the window that the throttle allowed, every 429 as a cross, and the two lines that matter, the *bound* (when the run could have ended at this batch size, whoever steered it) and the *makespan* (when it did). Below, the same seconds as the throttle saw them: who waited in the queue, and the pace at which it let calls go.

# %%
_, (above, below) = plt.subplots(2, figsize=(7.5, 8), layout="constrained", facecolor="white")
report.plot(ax=above)
ax = report.plot_throttle(ax=below)

# %% [markdown]
# ## The same in seconds
#
# Added up over all calls, which overlap: how long they waited in the queue, and how long their requests took, by how these ended.

# %%
attempts = report.attempts.eval("took_s = ended_s - started_s")
seconds = attempts.groupby("outcome", observed=True)[["waited_s", "took_s"]].sum()
seconds.assign(requests=attempts["outcome"].value_counts()).round(1)

# %% [markdown]
# ## What binds
#
# The diagnosis reads the same numbers. Its first finding is what to mend first.

# %%
findings = diagnose(evidence_of_report(report))
for finding in findings:
    print(f"{finding.binds}: {finding.words}", finding.changes or "no change", finding.advice, sep="\n  ")

# %% [markdown]
# ## What it would give back
#
# The proposed settings on the same luck, beside today's and beside the best that any settings could do with these limits. Where calls went to the fallback provider, its limits count in, too: such a run may end before the best bound that was told above.

# %%
proposed = tl.replay(space, scenario, proposed_settings(report.settings, findings), runs=1)
ax = tl.plot_before_after({"today's settings": report.runs[0], "proposed": proposed.runs[0]})

# %% [markdown]
# And how far each is from its own bound, which is the throttle's part, and from there to the best bound, which is the settings' part:

# %%
ax = tl.plot_efficiency({"today's settings": report.runs[0], "proposed": proposed.runs[0]})

# %% [markdown]
# ## Answer
#
# What the run hangs on, and what the proposal is worth:

# %%
today, better = report.runs[0], proposed.runs[0]
print(f"{findings[0].binds}: of the time the bound is {today.efficiency:.0%}", end=", ")
print(f"and the best bound {today.best_efficiency:.0%}.", end=" ")
print(f"With {findings[0].changes or 'nothing changed'}: {today.makespan_s:.1f} s -> {better.makespan_s:.1f} s.")
print("No gold labels, no F1." if today.f1 is None else f"F1 {today.f1:.3f} -> {better.f1:.3f}.")

# %% [markdown]
# **Its doubt.** One run, one luck, and a provider that is a model of one: a proposal is no proof. Notebook `05_tune_and_export` searches and proves. Quality is modelled, too.

# %%
print(*report.notes, sep="\n")

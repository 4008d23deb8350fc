# %% [markdown]
# # How many pages may share one prompt before the labels get worse?
#
# A prompt with more pages saves calls and tokens, since its instructions are sent once for all of them. But a model that reads many pages at once leaves some out, and is less right about those at the end.
#
# On the command line: `tagspace-lab sweep medium --scenario openai-tier1 --batch-size 1,2,5,10,20,50`. On a space of your own: `tagspace-lab notebook 03 --space my.jsonl.gz -o out.ipynb`. What your own model loses is measured by `tagspace-lab quality`, and enters a scenario by `tagspace-lab calibrate`.

# %%
import tagspace_lab as tl
from tagspace_lab.lab.places import quality_by_place

# %% tags=["parameters"]
space = "medium"
scenario = "openai-tier1"
batch_sizes = [1, 2, 5, 10, 20, 50]
seeds = 3
most_f1_lost = 0.01

# %% [markdown]
# ## What the model loses
#
# Every page is asked in batches of each size, on many seeds, and nothing is asked again. Quality is modelled: the twin answers with the gold labels, wrong or missing as the scenario states. A space without gold labels cannot be judged; the shipped one stands in for it here.

# %%
wiki = tl.load_space(space)
judged = wiki if wiki.vocabulary else tl.load_space("medium")
quality = quality_by_place(judged, scenario, batch_sizes, seeds=20)
ax = tl.plot_quality(quality)

# %% [markdown]
# ## What the pipeline makes of it
#
# The pipeline checks every answer page by page, and asks again for what was left out. So a run loses less than the model does, and pays for it in calls. A prompt has a limit in tokens, too: sizes beyond what fits make the same calls.

# %%
frame = tl.sweep(judged, scenario, {"batch_size": batch_sizes}, seeds=seeds, runs=1)
columns = ["makespan_s", "best_bound_s", "calls", "input_tokens", "rate_limit_errors", "f1"]
means = frame.groupby("batch_size")[columns].mean()
means.round({"makespan_s": 2, "best_bound_s": 2, "calls": 1, "input_tokens": 0, "rate_limit_errors": 1, "f1": 3})

# %% [markdown]
# ## What is saved
#
# Time, on the space itself; the tokens are in the answer:

# %%
grid = {"batch_size": batch_sizes}
spent = frame if judged is wiki else tl.sweep(wiki, scenario, grid, seeds=seeds, runs=1)
ax = tl.plot_sweep(spent, y="makespan_s")

# %% [markdown]
# ## Answer
#
# Of the sizes that lose no more F1 than `most_f1_lost` against one page a call, the one with the shortest run:

# %%
costs = spent.groupby("batch_size")[["makespan_s", "input_tokens"]].mean().assign(f1_lost=means.iloc[0].f1 - means.f1)
size = costs[costs.f1_lost <= most_f1_lost].makespan_s.idxmin()
print(f"{size} pages a call: {costs.makespan_s[size]:.1f} s instead of {costs.makespan_s.iloc[0]:.1f} s with one,")
print(f"{costs.input_tokens[size]:,.0f} input tokens instead of {costs.input_tokens.iloc[0]:,.0f},", end=" ")
print(f"F1 {means.f1[size]:.3f} instead of {means.f1.iloc[0]:.3f}.")

# %% [markdown]
# **Its doubt.** The curve of quality is the scenario's, made from published measurements of other tasks; how fast a model gets worse depends on the model and on the task. Measure yours before you go beyond what you use today. One page that is hostile can also spoil its neighbours' labels: the scenario `injection` has some.

# %%
print(tl.load_scenario(scenario).source)

# %% [markdown]
# # May this profile go live, and how do we come back if it should not have?
#
# Four steps: *verify* it on luck that nobody chose it by, *check* that all is in order around it, *apply* it to the job's own `.env`, and know the way back before it is needed.
#
# On the command line: `tagspace-lab verify default medium --scenario guide --against conservative`, `tagspace-lab check`, `tagspace-lab profile apply default app.env`, and for the way back `tagspace-lab profile apply conservative app.env`. With a profile of your own: `tagspace-lab notebook 08 --space my.jsonl.gz --scenario mine.toml --set profile=tuned.env --set today=default -o out.ipynb`.

# %%
import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import tagspace_lab as tl

# %%
from tagspace_lab.lab.effects import measure_effects
from tagspace_lab.lab.envfiles import apply_profile
from tagspace_lab.lab.profiles import check_profile
from tagspace_lab.operations.check import Check, is_ready, run_checks

# %% tags=["parameters"]
space = "medium"
scenario = "guide"
profile = "default"
today = "conservative"
seeds = 4

# %% [markdown]
# ## Verify
#
# First the file itself: four programs read `.env` files, each a little differently, and a profile has to mean the same to all of them.

# %%
problems = check_profile(profile)
print(*problems or ["no problem found"], sep="\n")

# %% [markdown]
# Then what it does. Both profiles meet the same luck, seed by seed; a change whose interval holds zero may be chance.

# %%
new, old = tl.read_profile(profile), tl.read_profile(today)
effects = measure_effects(old, new, space, scenario, seeds=seeds)
effects

# %% [markdown]
# And how sure that is, seed by seed. The table has the means of the runs, the picture their medians:

# %%
proof = tl.verify(profile, space, scenario, against=today, seeds=seeds)
ax = tl.plot_gain(proof)

# %% [markdown]
# ## Check
#
# The list before going live. The provider and the wiki are asked here only if they are this machine's; `tagspace-lab check` asks the real ones, once each, and writes nothing.

# %%
check = Check(new.settings.to_variables(), scenario=scenario, is_offline=True)
lines = await asyncio.to_thread(run_checks, check)
for line in lines:
    print(f"{line.state:<8}{line.name}", f"({line.found}: {line.cure})" if line.state == "failed" else "")

# %% [markdown]
# ## Apply
#
# The job's own `.env` holds other things, too, and secrets. Five keys are set; every other byte stays, and a copy of the file is kept. Here it is a file that is made for the purpose; what is shown are the changed lines alone.

# %%
scratch = TemporaryDirectory()
target = Path(scratch.name, "app.env")
target.write_bytes(b"# the job's own file\nCONFLUENCE_URL=https://wiki.example.com\nTAG_SPACE_BATCH_SIZE=1\n")
applied = apply_profile(new, target)
print(*applied.diff().splitlines()[2:], f"kept: {applied.backup.name}", sep="\n")

# %% [markdown]
# After that comes a dry run on the live space, `tagspace-lab tag DOCS`, which shows what would change and writes no label; then the same with `--apply`.
#
# ## The way back
#
# Two of them. The copy is the file as it was:

# %%
applied.backup.read_bytes() == applied.before

# %% [markdown]
# And where nobody finds the copy, there is a shipped profile that asks one page at a time, one call at a time. It is slow, and it needs no luck:

# %%
back = apply_profile(tl.read_profile("conservative"), target)
print(*back.diff().splitlines()[2:], sep="\n")

# %% [markdown]
# ## Answer
#
# Whether this profile may go live, and what it is worth:

# %%
print("ready" if is_ready(lines) and proof.holds and not problems else "not ready", proof.verdict(), sep=": ")
spans_s = {side.name: proof.makespan_s(side) for side in proof.sides}
print(f"{len(proof.before[0])} runs take", ", ".join(f"{span_s:.1f} s with {name}" for name, span_s in spans_s.items()))

# %% [markdown]
# **Its doubt.** All of it was tried in the twin but the file. Labels that were written stay written: the job only ever adds, and the file of changes says what. So begin with a small space, look at the labels, watch the refusals with `tagspace-lab monitor`, and go on.

# %%
scratch.cleanup()

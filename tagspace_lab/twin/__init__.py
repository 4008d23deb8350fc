"""The simulated world: a clock, spaces, providers and a Confluence. It knows nothing of the pipeline."""

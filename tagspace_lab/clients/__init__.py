"""Effects: one outside thing each."""

"""The bulk tagger over HTTP: one task at a time, journaled, watched and stopped from outside. Read `app.py` first."""

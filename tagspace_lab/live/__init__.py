"""A job on a real wiki: where everything is, what a task is to do, and one pass of it over one space."""

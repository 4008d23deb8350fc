"""Running it for real: logs, a view of what runs, the list before going live, what binds, and an alarm."""

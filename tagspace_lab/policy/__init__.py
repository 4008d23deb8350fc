"""Pure decisions: no await, no clock, no I/O. Time arrives as `now_s`."""

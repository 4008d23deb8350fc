"""Our throttle beside what people use today, over real sockets against the served twin. `make bench-peers`.

A *client* does a number of calls; a *challenge* is the scenario that it does them in, with its bound. One run is
one client in one challenge: the twin in a process of its own, the client in another, with its own interpreter
and its own pinned packages. Read `challenges.py` first, then `clients.py`, `schedule.py` and `__main__.py`.
"""

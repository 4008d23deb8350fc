"""Processes of other machines, by way of a dask scheduler. Needs the package's `dask` extra."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tagspace_lab.errors import InputError

__all__ = ["open_cluster"]

_CONNECT_S = 10
_WORKERS_S = 30
_ADDRESS = re.compile(r"((tcp|tls|ucx|wss?)://)?[^/\s]+:\d+")


@contextmanager
def open_cluster(scheduler: str, given: object) -> Iterator[tuple[Any, Any]]:
    """An executor on the workers of the scheduler at an address such as `tcp://host:8786`, and `given` as they know it.

    `given` travels to each worker once. InputError for what is no such address, where distributed is not installed,
    where nobody answers at the address within 10 s, and where no worker comes within 30 s.
    """
    if not _ADDRESS.fullmatch(scheduler):
        raise InputError(f"scheduler is {scheduler!r}; allowed: an address such as tcp://127.0.0.1:8786.")
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(
            "dask is not installed, here at least; install it with: pip install 'tagspace-lab[dask]'"
        ) from error
    try:
        client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(
            f"no dask scheduler answers at {scheduler}; start one with `dask scheduler` and give the address that it "
            "prints, such as tcp://127.0.0.1:8786"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError as error:
            raise InputError(
                f"the dask scheduler at {scheduler} has no worker; start one with "
                f"`dask worker {scheduler} --nthreads 1`"
            ) from error
        there = client.scatter(given, broadcast=True)  # type: ignore[no-untyped-call]
        yield client.get_executor(pure=False), there  # type: ignore[no-untyped-call]

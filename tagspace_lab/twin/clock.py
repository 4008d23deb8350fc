"""Virtual time: an asyncio event loop whose clock jumps to the next timer instead of waiting for it.

Unmodified asyncio code (sleep, timeout, TaskGroup, queues, httpx over ASGITransport) runs in it in the
order in which it would run in real time, as fast as the processor allows. The loop owns no socket and
no thread: work for an executor runs inline, and whatever needs the network is refused with a
:class:`ClockError`, because a real wait would not move this clock. When every task waits and nothing
is scheduled, :class:`DeadlockError` is raised at once.

The standard library's loop does all the scheduling; only its selector, the place where it would
block, is replaced. That rests on `_selector`, `_process_events`, `_write_to_self` and `_scheduled` of
`asyncio.BaseEventLoop`: private names, but the seam between the base loop and its selectors ever
since asyncio joined the library. `tests/twin/test_clock.py` fails if a Python moves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

from tagspace_lab.errors import ClockError, DeadlockError

__all__ = ["VirtualLoop", "run_virtual"]

T = TypeVar("T")


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose `time()` starts at 0.0 s and moves only when every task waits."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._selector = _Jump(self)

    def time(self) -> float:
        return self._now_s

    def jump(self) -> None:
        """Move the clock to the earliest timer, exactly."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        self._now_s = max(self._now_s, scheduled[0].when())

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run `func` now, in this thread: the clock stands still while it works."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """The selector never reports any."""

    def _write_to_self(self) -> None:
        """The loop never blocks, so nothing needs to wake it."""


class _Jump:
    """Stands where a selector stands: instead of waiting for `timeout` seconds it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise DeadlockError(
                f"At {self._loop.time():.3f} s of virtual time every task waits for another and nothing is scheduled. "
                "Look for a future, queue or lock that nobody releases."
            )
        if timeout > 0:
            self._loop.jump()
        return []


def _refuse(self: VirtualLoop, *_: Any, **__: Any) -> NoReturn:
    raise ClockError(
        "Virtual time has no network and no subprocess: a real wait would not move this clock. "
        "Give the HTTP client an httpx.ASGITransport(app), or run on the wall clock."
    )


async def _refuse_soon(self: VirtualLoop, *_: Any, **__: Any) -> NoReturn:
    _refuse(self)


for _name in ("add_reader", "add_writer"):
    setattr(VirtualLoop, _name, _refuse)
for _name in (
    *("getaddrinfo", "getnameinfo", "create_connection", "create_server", "create_datagram_endpoint"),
    *("create_unix_connection", "create_unix_server", "sock_connect", "sock_accept", "sock_sendall"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendto", "sock_sendfile", "sendfile"),
    *("connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell"),
):
    setattr(VirtualLoop, _name, _refuse_soon)


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main()` to its end in virtual time and return its result.

    Works in a script, in a worker process and in a notebook cell: where this thread already runs an
    event loop, the virtual one gets a thread of its own. Ctrl-C cancels what runs, then is raised.
    """
    loop = VirtualLoop()
    if asyncio._get_running_loop() is None:
        return _run(main, loop)
    with ThreadPoolExecutor(1, thread_name_prefix="virtual-time") as executor:
        future = executor.submit(_run, main, loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(_cancel_all, loop)
            raise


def _run(main: Callable[[], Coroutine[Any, Any, T]], loop: VirtualLoop) -> T:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def _cancel_all(loop: VirtualLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()

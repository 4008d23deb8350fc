"""The simulated Confluence, as Cloud and as Data Center, over one space and one shelf of labels.

Pages are made one by one when they are asked for. The space's gold labels are never shown: they are
what the model is to find. Labels that are written are kept in memory. Any token lets one in but `wrong`.
"""

from __future__ import annotations

from starlette.routing import Route

from tagspace_lab.records import Space
from tagspace_lab.twin.confluence.cloud import SPACE_ID, Cloud
from tagspace_lab.twin.confluence.content import Content
from tagspace_lab.twin.confluence.door import CLOUD, DATA_CENTER, Door
from tagspace_lab.twin.confluence.wiki import Wiki
from tagspace_lab.twin.schema import Confluence
from tagspace_lab.twin.stopwatch import Stopwatch

__all__ = ["SPACE_ID", "ConfluenceTwin"]


class ConfluenceTwin:
    """One wiki with one space, seen on one day of its history.

    `requests` and `refusals` count what came in with a valid Authorization header, and the 429s among it;
    `writes` counts what was posted by (page id, label), so that a label which was written twice is found.
    """

    def __init__(self, confluence: Confluence, space: Space, *, elapsed_s: Stopwatch, day: int = 0) -> None:
        self._confluence = confluence
        self._wiki = Wiki(space, elapsed_s, day)
        self._door = Door(confluence, elapsed_s)
        self.labels, self.writes = self._wiki.labels, self._wiki.writes

    @property
    def requests(self) -> int:
        return self._door.requests

    @property
    def refusals(self) -> int:
        return self._door.refusals

    def turn_to_day(self, day: int) -> None:
        """Show the space as it is on that day of its history from now on."""
        self._wiki.day = day

    def routes(self) -> list[Route]:
        """Cloud under `/wiki`; Data Center under `/confluence`, and where many have it, under no path at all."""
        page_limit = self._confluence.page_limit
        tables = (
            (CLOUD, Cloud(self._wiki, "/wiki", page_limit).table()),
            (CLOUD, Content(self._wiki, "/wiki", page_limit, account="accountId").table()),
            (DATA_CENTER, Content(self._wiki, "/confluence", page_limit, account="userKey").table()),
            (DATA_CENTER, Content(self._wiki, "", page_limit, account="userKey").table()),
        )
        return [
            Route(path, self._door.guard(endpoint, manners), methods=[method])
            for manners, table in tables
            for method, path, endpoint in table
        ]

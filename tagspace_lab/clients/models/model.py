"""What the pipeline wants of a model, wherever it runs."""

from __future__ import annotations

from typing import Protocol

from tagspace_lab.policy.prompts import Prompt
from tagspace_lab.records import Outcome, Reply

__all__ = ["Model", "send_adapted"]


class Model(Protocol):
    """One model at one provider."""

    @property
    def name(self) -> str:
        """The model's name, as it enters cache keys."""

    async def send(self, prompt: Prompt) -> Reply:
        """Ask once. ADAPTED: the server does not take a part of the request, and the next one leaves it out."""


async def send_adapted(model: Model, prompt: Prompt) -> Reply:
    """Ask until the server takes the form of the request: for those who ask outside a run, which does this itself."""
    while (reply := await model.send(prompt)).outcome is Outcome.ADAPTED:
        pass
    return reply

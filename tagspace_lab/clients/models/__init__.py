"""Model providers over HTTP: OpenAI-compatible chat completions and Anthropic messages.

A client turns a :class:`Prompt` into one request and whatever comes back into a :class:`Reply`; it never
retries and never raises for what a server or a network does. Keys travel in a header and nowhere else.
"""

from tagspace_lab.clients.models.anthropic import AnthropicModel
from tagspace_lab.clients.models.model import Model, send_adapted
from tagspace_lab.clients.models.openai import OpenAIModel

__all__ = ["AnthropicModel", "Model", "OpenAIModel", "send_adapted"]

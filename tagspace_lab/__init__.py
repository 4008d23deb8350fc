"""Tag a whole wiki space with a language model, and find the settings that do it fastest, in virtual time."""

from __future__ import annotations

__version__ = "0.1.0"

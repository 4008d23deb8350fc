"""`python -m tagspace_lab` is `tagspace-lab`."""

from __future__ import annotations

from tagspace_lab.cli import main

if __name__ == "__main__":
    main()

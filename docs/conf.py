"""How `make docs` builds the pages: Sphinx with MyST, offline. Lines like {{commands}} are filled from the package."""

from __future__ import annotations

from typing import Any

import tagspace_lab
from docs.generated import GENERATED

project = "tagspace_lab"
author = "tagspace_lab contributors"
copyright = author  # noqa: A001 - Sphinx's name
release = version = tagspace_lab.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
default_role = "code"  # docstrings name things in single backticks
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False
nitpicky = False

html_theme = "furo"
html_title = "tagspace_lab"
html_static_path = ["_static"]
html_css_files = ["console.css"]
html_show_sourcelink = False
html_copy_source = False


def fill_page(app: Any, docname: str, source: list[str]) -> None:
    """Puts what the package says of itself in the place of its name in double braces."""
    for name, make in GENERATED.items():
        if f"{{{{{name}}}}}" in source[0]:
            source[0] = source[0].replace(f"{{{{{name}}}}}", make())


def setup(app: Any) -> None:
    app.connect("source-read", fill_page)

"""Sphinx's configuration: ``make docs``. Markdown by MyST, the API from docstrings, no network."""

import importlib.metadata
import re

project = "xattnmask"
author = "the xattnmask authors"
release = importlib.metadata.version("xattnmask")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["benchmark/*", "studies/*"]
html_title = f"xattnmask {release}"
myst_heading_anchors = 4  # links to headings, as GitHub makes them
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_mock_imports = []
napoleon_use_ivar = True
napoleon_use_rtype = False


def setup(app):
    app.connect("source-read", _outside_pages_as_files)


def _outside_pages_as_files(app, name, source):
    """READMEs of adapters, tables of the benchmark and of studies are no pages: a link to one hands over the file."""
    source[0] = re.sub(r"\]\(((?:\.\./|benchmark/|studies/)[^)#]+\.md)(#[^)]*)?\)", r"](path:\1)", source[0])

"""Configuration of Sphinx, which builds the site: ``make docs``. ``generate.py`` beside this file generates parts of the pages."""

from __future__ import annotations

import sys
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

import pulseframes

sys.path.insert(0, str(Path(__file__).parent))  # for generate.py

project = "pulseframes"
author = "The pulseframes developers"
copyright = author  # noqa: A001  Sphinx's name for it
version = release = pulseframes.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "generate",
]
smartquotes = False  # two hyphens are an option, not a dash
toc_object_entries = False  # each name has a heading
exclude_patterns = ["images/README*"]
nitpicky = True
default_role = "literal"  # of a single backtick in a docstring

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # docstrings have the types
autosummary_generate = False  # a page holds a group of names
numpydoc_show_class_members = False  # generate.py says which
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {
    name: f"pulseframes.{name}" for name in pulseframes.__all__ if name[0].isupper()
}  # classes are types
numpydoc_xref_ignore = "all"  # other types stay plain text, so that the build needs no network
DEFAULT_LINKS.clear()  # Python's too
numpydoc_validation_checks = {
    "all",  # but these:
    "GL01", "GL02",  # ruff checks where a docstring starts and ends
    "SS06",  # a summary of two lines
    "ES01", "SA01", "EX01",  # extended summary, See Also and Examples only where they help
    "PR03", "PR04",  # parameters shared with another function are listed together, without types
    "RT03",  # the summary may describe the result
}  # fmt: skip
numpydoc_validation_exclude = {
    r"\.[A-Z]\w*$",  # classes may list their fields as attributes; tests/test_docs.py checks them
    r"\.charts\.",  # what all charts share is described once
}

html_theme = "pydata_sphinx_theme"
html_title = "pulseframes"
html_static_path = ["_static"]
html_css_files = ["pulseframes.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_center": [],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}  # light or dark, following the system
html_sidebars = {"index": [], "tutorial": []}
copybutton_exclude = ".linenos, .gp, .go"

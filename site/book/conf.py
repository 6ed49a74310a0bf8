"""Sphinx: the book of the course. `site/build.py` adds the pages that are made from files of the repository."""

import re

project, author, copyright = "nted-lite", "the nted-lite authors", "the nted-lite authors, MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
html_theme = "sphinx_book_theme"
html_title = "nted-lite"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "repository_url": "https://github.com/nted-lite/nted-lite", "use_download_button": False,
    "use_repository_button": True, "show_toc_level": 2, "home_page_in_toc": True,
}  # fmt: skip
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
mathjax_path = "vendor/tex-svg-full.js"
exclude_patterns = ["_build", "jupyter_execute"]
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type", "misc.highlighting_failure", "toc.not_included"]
autodoc_typehints = "signature"


def preformatted(app, what, name, obj, options, lines):
    """Docstrings are laid out in columns: show all but the first paragraph as they stand."""
    text = "\n".join(lines).strip()
    first, _, rest = text.partition("\n\n")
    first = re.sub(r"([*|])", r"\\\1", first)
    first = re.sub(r"(?<!`)`([^`]+)`(?!`)", lambda match: f"``{match[1]}``".replace("\\", ""), first)
    lines[:] = [*first.splitlines(), ""]
    if rest.strip():
        lines += [".. code-block:: text", "", *("   " + line for line in rest.splitlines()), ""]


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", preformatted)

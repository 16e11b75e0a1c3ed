"""Sphinx's configuration: `make docs` writes the site to docs/_build/html."""

from pathlib import Path

from tvm_bench import __version__

project = "tvm_bench"
version = release = __version__
copyright = "the tvm_bench authors"
extensions = ["myst_nb", "sphinx_click", "sphinx.ext.autodoc"]
root_doc = "site"
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "results/*.json"]
nb_execution_mode = "off"  # tests run the notebooks
smartquotes = False  # `--quick` in an example is to be copied
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_title = f"tvm_bench {version}"
html_static_path: list[str] = []
# Signatures name types of other packages, whose pages are elsewhere: the site is built without network.
nitpick_ignore_regex = [("py:class", ".*")]

# What Sphinx and its theme leave out for users of a keyboard or a screen reader.
ACCESSIBLE = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="On this page">',
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper colwidths-auto docutils container">': (
        '<div class="table-wrapper colwidths-auto docutils container" tabindex="0">'
    ),
    '<div id="search-results"></div>': '<div id="search-results"><h1>Search</h1></div>',
}


def setup(app):
    """Called by Sphinx: completes the pages after they are written."""
    app.connect("build-finished", complete)


def complete(app, exception):
    """Replace what `ACCESSIBLE` names in each page; a page that was replaced before stays."""
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text()
        for found, replacement in ACCESSIBLE.items():
            text = text.replace(found, replacement)
        page.write_text(text)

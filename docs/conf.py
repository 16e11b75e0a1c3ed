"""Sphinx's configuration: `make docs` writes the site to docs/_build/html."""

from tvm_bench import __version__

project = "tvm_bench"
version = release = __version__
copyright = "the tvm_bench authors"
extensions = ["myst_nb", "sphinx_click", "sphinx.ext.autodoc"]
root_doc = "site"
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "results/*.json"]
nb_execution_mode = "off"  # tests run the notebooks
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
html_theme = "furo"
html_title = f"tvm_bench {version}"
html_static_path: list[str] = []
# Signatures name types of other packages, whose pages are elsewhere: the site is built without network.
nitpick_ignore_regex = [("py:class", ".*")]

"""The site (`make site`): these pages as they are, by Sphinx and MyST; the Python API from its docstrings."""

from typing import Any

project = "edgekit"
html_title = "edgekit"
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
# The source is the whole checkout, so that links from page to page are those of the files, on the site as in the repository.
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "benchmarks/results/*.md",
    "export_recipes/README.md",
    "android_demo/README.md",
    "android_demo/*/README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
]
myst_heading_anchors = 3
html_extra_path = ["quickstart.ipynb"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
autodoc_typehints = "none"


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_it_stands)


def as_it_stands(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings are plain text in columns, not reStructuredText."""
    if any(lines):
        lines[:] = ["::", "", *(f"    {line}" for line in lines), ""]

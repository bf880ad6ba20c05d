"""Sphinx's configuration. ``python -m deploy.docs`` (`make docs`) builds the site that the product serves at /docs/.

Why Sphinx with Furo and MyST: of the generators for Markdown it is the one with a stable release line, monthly upkeep and
strict checks of links and anchors. MkDocs, below Material, has had no release since 2024; Zensical is not at 1.0 yet.
"""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

project = "Evermuse Ingest"
author = "Evermuse"
project_copyright = ""
html_title = "Evermuse Ingest"
language = "en"

extensions = ["myst_parser"]
exclude_patterns = ["_site*"]
# Links are strict: `deploy.docs` turns every warning into an error, also links to headings that do not exist.
nitpicky = True
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# Documents name addresses of the reader's own machine, which no builder should turn into links.
myst_linkify_fuzzy_links = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["evermuse.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options: dict[str, Any] = {"top_of_page_buttons": []}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


def _link_to_the_product(app: Sphinx, doctree: nodes.document) -> None:
    """Links that begin with a slash lead to other pages of the product. The tests of the site check that they exist."""
    for link in list(doctree.findall(pending_xref)):
        if link.get("reftarget", "").startswith("/"):
            link.replace_self(nodes.reference("", "", *link.children, refuri=link["reftarget"]))


def _add_to_the_head(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The product's icon; and for programs, where the page is as Markdown."""
    context["metatags"] = context.get("metatags", "") + '<link rel="icon" href="/static/ingest/icon.svg">'
    if doctree is not None:
        context["metatags"] += f'<link rel="alternate" type="text/markdown" href="{page}.md">'


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's hook."""
    app.connect("doctree-read", _link_to_the_product)
    app.connect("html-page-context", _add_to_the_head)
    return {"parallel_read_safe": True}

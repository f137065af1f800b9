"""How Sphinx builds the site."""

from pygments.lexers.special import TextLexer

from relhealth import __version__

project = "relhealth"
release = __version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"relhealth {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_use_index = False
html_show_sourcelink = False
html_show_copyright = False
# The search shows texts of pages by fetching them, which a browser refuses for files on disk.
html_show_search_summary = False
html_permalinks_icon = "#"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
smartquotes = False


def setup(app: object) -> None:
    """Show a crontab as it is: Pygments does not know one."""
    app.add_lexer("crontab", TextLexer)  # type: ignore[attr-defined]

"""Sphinx configuration of the documentation site: ``make docs`` writes it to out/docs."""

import tomllib
from pathlib import Path

project = "lipstage"
release = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"lipstage {release}"
html_show_copyright = False
# Pages link to headings as GitHub does.
myst_heading_anchors = 4
# A link that leads nowhere fails the build.
nitpicky = True
# csv and jsonl, which GitHub highlights and Pygments does not know.
suppress_warnings = ["misc.highlighting_failure"]
# With `-b linkcheck`: pages outside the site; those of the site are checked by every build.
linkcheck_timeout = 20

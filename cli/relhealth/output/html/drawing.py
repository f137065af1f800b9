"""Drawing of charts: a Vega-Lite specification becomes SVG, which needs no JavaScript."""

import re

from relhealth.output.html.content import Spec

_HEAD = re.compile(r"<svg[^>]*?viewBox=\"([^\"]*)\"[^>]*>")
_VERSION = "6.1"  # of Vega-Lite; a later one could draw other pictures


def svg(spec: Spec) -> str:
    """Return a chart as an SVG element that scales to the width of its place."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(dict(spec), vl_version=_VERSION)
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="\\1" role="group">'
    return _HEAD.sub(head, drawn, count=1)

"""Rows and columns of widgets that also display correctly in Google Colab."""

from collections.abc import Iterator

import anywidget
import ipywidgets


class _Box(ipywidgets.Box):
    """A box whose display metadata tells Colab what to load for the widgets inside it.

    Colab displays a custom widget only if the display bundle names its widget manager. anywidget adds that name for a
    widget displayed on its own, but ipywidgets does not add it for a box around one.
    """

    def _repr_mimebundle_(self, **options) -> dict | tuple[dict, dict]:
        """The display bundle of the box, with the metadata of the first custom widget inside it, at any depth."""
        bundle = super()._repr_mimebundle_(**options)
        custom = next((widget for widget in _inside(self) if isinstance(widget, anywidget.AnyWidget)), None)
        return bundle if custom is None else (bundle, custom._repr_mimebundle_(**options)[1])


class Row(_Box, ipywidgets.HBox):
    """Widgets side by side."""


class Column(_Box, ipywidgets.VBox):
    """Widgets stacked vertically."""


def titled(title: str, *widgets: ipywidgets.Widget) -> Column:
    """Widgets below a title."""
    return Column([ipywidgets.Label(title), *widgets])


def _inside(box: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """Every widget inside a box; ipywidgets' tabs and accordions have children too."""
    for child in getattr(box, "children", ()):
        yield child
        yield from _inside(child)

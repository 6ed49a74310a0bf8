"""Rows and columns of widgets that Google Colab shows like any other notebook does."""

from collections.abc import Iterator

import anywidget
import ipywidgets


class _Box(ipywidgets.Box):
    """A box that says in its display metadata what Colab must load for the widgets inside it.

    Colab draws a widget that is not one of ipywidgets' own only if the display bundle names its custom widget manager.
    anywidget adds that for a widget displayed by itself, and ipywidgets does not for a box around one.
    """

    def _repr_mimebundle_(self, **options) -> dict | tuple[dict, dict]:
        """The display bundle of the box, with the metadata of the first custom widget inside it, at any depth."""
        bundle = super()._repr_mimebundle_(**options)
        custom = next((widget for widget in _inside(self) if isinstance(widget, anywidget.AnyWidget)), None)
        return bundle if custom is None else (bundle, custom._repr_mimebundle_(**options)[1])


class Row(_Box, ipywidgets.HBox):
    """Widgets side by side."""


class Column(_Box, ipywidgets.VBox):
    """Widgets below one another."""


def titled(title: str, *widgets: ipywidgets.Widget) -> Column:
    """Widgets below a title."""
    return Column([ipywidgets.Label(title), *widgets])


def _inside(box: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """Every widget inside a box; ipywidgets' tabs and accordions have children too."""
    for child in getattr(box, "children", ()):
        yield child
        yield from _inside(child)

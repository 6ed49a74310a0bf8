"""A panel of controls above one picture: what most lessons need."""

from collections.abc import Callable
from io import BytesIO

import ipywidgets
from matplotlib.figure import Figure

from nted_lite.images import png


class Panel(ipywidgets.VBox):
    """Controls, and below them the picture that a function draws from their values; it is drawn anew on every change.

    draw      called with the controls' values by name; returns a matplotlib Figure, or pixels h w 3, uint8
    controls  ipywidgets with a `value`; one without a description is described by its name

        Panel(show_filter, k=IntSlider(3, 0, 7), person=IntSlider(0, 0, 5))
    """

    def __init__(self, draw: Callable, **controls: ipywidgets.ValueWidget):
        self.draw, self.controls = draw, controls
        self.image = ipywidgets.Image(format="png", layout={"align_self": "flex-start", "max_width": "100%"})
        for name, control in controls.items():
            control.description = control.description or name.replace("_", " ")
            control.style.description_width = "initial"  # as wide as it is, not cut off
            if control.has_trait("continuous_update"):
                control.continuous_update = False  # one drawing for each move, not one for each pixel of it
            control.observe(lambda _: self._try_to_render(), "value")
        self.problem = ipywidgets.Label()
        row = ipywidgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.image, self.problem])
        self.render()

    def render(self) -> None:
        """Draw the picture of the controls' present values."""
        drawn = self.draw(**{name: control.value for name, control in self.controls.items()})
        self.image.value = _png(drawn) if isinstance(drawn, Figure) else png(drawn)

    def _try_to_render(self) -> None:
        """Draw; what goes wrong is said below the picture, because a notebook shows no error of a moved control."""
        try:
            self.render()
            self.problem.value = ""
        except Exception as error:
            self.problem.value = f"{type(error).__name__}: {error}"


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def titled(title: str, *widgets: ipywidgets.Widget) -> ipywidgets.VBox:
    """Widgets below a title."""
    return ipywidgets.VBox([ipywidgets.Label(title), *widgets])

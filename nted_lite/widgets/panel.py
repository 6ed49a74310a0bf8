"""A panel of controls above one picture: what most lessons need."""

from collections.abc import Callable
from io import BytesIO

import ipywidgets
from matplotlib.figure import Figure

from nted_lite.images import png
from nted_lite.widgets.boxes import Column, Row


class Panel(Column):
    """Controls, and below them the picture that a function draws from their values, redrawn on every change.

    draw      called with the controls' values by name; returns a matplotlib Figure, or pixels h w 3, uint8
    controls  ipywidgets with a `value`; the default description is the name

        Panel(show_filter, k=IntSlider(3, 0, 7), person=IntSlider(0, 0, 5))
    """

    def __init__(self, draw: Callable, **controls: ipywidgets.ValueWidget):
        self.draw, self.controls = draw, controls
        self.image = ipywidgets.Image(format="png", layout={"align_self": "flex-start", "max_width": "100%"})
        for name, control in controls.items():
            control.description = control.description or name.replace("_", " ")
            control.style.description_width = "initial"  # wide enough for its text
            if control.has_trait("continuous_update"):
                control.continuous_update = False  # draw once per move, not once per pixel
            control.observe(lambda _: self._try_to_render(), "value")
        self.problem = ipywidgets.Label()
        row = Row(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.image, self.problem])
        self.render()

    def render(self) -> None:
        """Draw the picture for the current values of the controls."""
        drawn = self.draw(**{name: control.value for name, control in self.controls.items()})
        self.image.value = _png(drawn) if isinstance(drawn, Figure) else png(drawn)

    def _try_to_render(self) -> None:
        """Draw, and show any error below the picture, because notebooks hide errors raised by a moved control."""
        try:
            self.render()
            self.problem.value = ""
        except Exception as error:
            self.problem.value = f"{type(error).__name__}: {error}"


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()

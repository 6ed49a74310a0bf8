"""Pictures of people, poses, maps and textures: one call, one figure. Each lesson has its own module here."""

from nted_lite.plotting.base import (
    DPI,
    INK,
    PALE,
    PAPER,
    PART_COLOURS,
    arrow,
    contact_sheet,
    lit,
    painted,
    part_legend,
    part_pictures,
    picture,
    put,
    say,
    sheet,
    show_entities,
    show_measures,
    show_parts,
    show_pose,
    show_swap,
    show_textures,
    show_transfer,
    spotlight,
    stick_figures,
    style,
    texture_colours,
    texture_parts,
)

__all__ = [
    "DPI", "INK", "PALE", "PAPER", "PART_COLOURS", "arrow", "contact_sheet", "lit", "painted", "part_legend",
    "part_pictures", "picture", "put", "say", "sheet", "show_entities", "show_measures", "show_parts", "show_pose",
    "show_swap", "show_textures", "show_transfer", "spotlight", "stick_figures", "style", "texture_colours",
    "texture_parts",
]  # fmt: skip

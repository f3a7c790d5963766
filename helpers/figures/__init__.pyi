from . import plots as plots
from .drawing import wheel as wheel
from .picker import WindowPicker as WindowPicker
from .player import Player as Player
from .plots import (
    ACCENT as ACCENT,
    GREY as GREY,
    angle_colours as angle_colours,
    plot_angle_map as plot_angle_map,
    plot_montage as plot_montage,
    plot_rose as plot_rose,
    plot_value_map as plot_value_map,
    show_columns as show_columns,
    show_image as show_image,
    use_style as use_style,
)

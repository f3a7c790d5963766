from .columns import (
    Columns as Columns,
    check_quality as check_quality,
    identify_columns as identify_columns,
    locate_columns as locate_columns,
    segment as segment,
    segment_species as segment_species,
)
from .figures import Player as Player, WindowPicker as WindowPicker, plots as plots
from .files import fetch as fetch, load_image as load_image
from .results import (
    align_gauge as align_gauge,
    angle_map as angle_map,
    fold_angles as fold_angles,
    latent_map as latent_map,
    lattice_direction as lattice_direction,
    posterior_order as posterior_order,
    rotational_order as rotational_order,
    save_results as save_results,
    symmetry_scores as symmetry_scores,
)
from .rvae import (
    RVAE as RVAE,
    Agreement as Agreement,
    Encoding as Encoding,
    Kinds as Kinds,
    compare_encodings as compare_encodings,
    find_kinds as find_kinds,
)
from .stack import (
    FrameStore as FrameStore,
    align_stack as align_stack,
    locate_in_frames as locate_in_frames,
    process_stack as process_stack,
)
from .subimages import (
    WindowReport as WindowReport,
    cut_subimages as cut_subimages,
    window_report as window_report,
)

from .atoms import (
    PBTIO3_NM as PBTIO3_NM,
    TITANIUM_AT as TITANIUM_AT,
    alloy as alloy,
    ferroelectric as ferroelectric,
    graphene as graphene,
)
from .cell_library import CellLibrary as CellLibrary, load_cells as load_cells
from .lattices import (
    HEXAGONAL as HEXAGONAL,
    column_target as column_target,
    crystal as crystal,
    lattice_image as lattice_image,
    nearest_distance as nearest_distance,
    render_columns as render_columns,
)
from .limit import cramer_rao_px as cramer_rao_px
from .scan import Scan as Scan, scan_frame as scan_frame, scan_specimen as scan_specimen
from .specimen import polycrystal as polycrystal, single_crystal as single_crystal
from .training_images import draw_image as draw_image, training_image as training_image
from .truth import Truth as Truth, load_truth as load_truth, match_columns as match_columns

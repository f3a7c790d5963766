from .identify import identify_columns as identify_columns
from .locate import locate_columns as locate_columns, refine_columns as refine_columns
from .peaks import probability_peaks as probability_peaks
from .quality import check_quality as check_quality
from .segmentation import segment as segment, segment_species as segment_species
from .spacing import measure_spacing as measure_spacing
from .table import Columns as Columns
from .unet import UNet as UNet, run_network as run_network

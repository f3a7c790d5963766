from .cut import cut_subimages as cut_subimages
from .harmonics import (
    DiskHarmonics as DiskHarmonics,
    angular_power as angular_power,
    disk_mask as disk_mask,
    pixel_offsets as pixel_offsets,
)
from .window import WindowReport as WindowReport, window_report as window_report

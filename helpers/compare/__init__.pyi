from . import score as score
from .baselines import (
    CoordinateVAE as CoordinateVAE,
    PlainVAE as PlainVAE,
    principal_components as principal_components,
)
from .neighbours import (
    handedness as handedness,
    off_centre as off_centre,
    strongest_wave as strongest_wave,
    wave_vectors as wave_vectors,
)
from .score import (
    r_squared as r_squared,
    share_right as share_right,
    sign_from_angle as sign_from_angle,
)

from .angles import (
    align_gauge as align_gauge,
    circular_mean as circular_mean,
    fold_angles as fold_angles,
    lattice_direction as lattice_direction,
    posterior_order as posterior_order,
    rotational_order as rotational_order,
    symmetry_scores as symmetry_scores,
)
from .maps import angle_map as angle_map, latent_map as latent_map, save_results as save_results

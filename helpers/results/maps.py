"""Results laid out as images and tables that HyperSpy and a spreadsheet open."""

import os
from pathlib import Path

import numpy as np
from scipy.interpolate import NearestNDInterpolator

from ..columns.table import named_numbers, write_table
from ..files.folder import new_folder
from ..images import as_pixel_size, as_positions, neighbour_distance, one_each
from .angles import fold_angles


def angle_map(positions, angle, *, shape, pixel_size_nm: float | None = None, order: int = 1):
    """Image of the angle: each pixel carries that of the nearest column, folded by `order`.

    Parameters
    ----------
    positions : (M, 2) [row, column] in pixels
    angle : (M,) radians
    shape : (rows, columns) of the image the columns were found in
    pixel_size_nm : float, optional
        Calibrates the axes; without it they are in px.
    order : int
        Rotational symmetry of the motif: angles are given modulo 2 pi / order.

    Returns
    -------
    hyperspy Signal2D, float32, NaN where no column is near.
    """
    values = fold_angles(angle, order)
    title = "angle (rad)" if order == 1 else f"angle modulo 2 pi / {order} (rad)"
    return latent_map(positions, values, shape=shape, pixel_size_nm=pixel_size_nm, title=title)


def latent_map(positions, latent, *, shape, pixel_size_nm: float | None = None, title="latent"):
    """Image of one latent (M,), or of any number a column: each pixel takes the nearest column's.

    Parameters and return value are those of `angle_map`.
    """
    from hyperspy.signals import Signal2D

    positions = as_positions(positions)
    values = one_each(latent, positions, title)
    missing = ~np.isfinite(positions).all(axis=1)
    if missing.any():
        message = (
            f"{missing.sum()} of {len(positions)} positions are not finite, but a map needs a "
            "place for each number: pass positions[kept], as cut_subimages kept them"
        )
        raise ValueError(message)
    # Beyond 1.5 spacings from any column nothing was measured, so nothing is shown.
    spacing_px = np.median(neighbour_distance(positions))
    reach_px = 1.5 * spacing_px
    nearest = NearestNDInterpolator(positions, values)
    image = nearest(*np.indices(shape), distance_upper_bound=reach_px, workers=-1)
    signal = Signal2D(image.astype(np.float32), metadata={"General": {"title": title}})
    scale = as_pixel_size(pixel_size_nm) or 1.0
    units = "px" if pixel_size_nm is None else "nm"
    signal.axes_manager.signal_axes.set(name=["x", "y"], scale=scale, units=units)
    return signal


def save_results(
    path,
    columns,
    encoding,
    kept,
    *,
    shape,
    pixel_size_nm=None,
    order=1,
    model=None,
    overwrite=False,
) -> Path:
    """Write maps (.hspy), the table of columns (.csv) and the model into a new folder.

    Parameters
    ----------
    path : str or pathlib.Path of the folder to make
        A leading ``~`` is the home folder.
    columns : Columns
    encoding : Encoding of the sub-images around `columns.positions[kept]`
    kept : (M,) int, as returned by `cut_subimages`
    shape, pixel_size_nm, order : as in `angle_map`
    model : RVAE, optional
        Saved beside the maps.
    overwrite : bool
        Replace a folder that was written here, and to which nothing was added: a hidden file in
        it lists what was. Nothing is ever half-written: the results are put together in a temporary
        folder beside it, which then takes the name.

    Returns
    -------
    pathlib.Path of the folder.

    Raises
    ------
    ValueError
        If there is a folder of that name, unless it may be replaced; or the lengths do not fit. If
        it appeared in the meantime, the message says where the results lie instead.
    """
    path = Path(os.path.expanduser(path))
    kept = np.asarray(kept)
    if len(kept) != len(encoding):
        raise ValueError(f"{len(kept)} kept columns, but {len(encoding)} were encoded")
    if len(kept) and kept.max() >= len(columns):
        raise ValueError(f"kept names column {kept.max()}, but there are only {len(columns)}")
    with new_folder(path, overwrite=overwrite) as new:
        places = as_positions(columns)[kept]
        field = {"shape": shape, "pixel_size_nm": pixel_size_nm}
        _write_maps(new, places, encoding, field, order)
        _write_table(new / "columns.csv", columns, encoding, kept, pixel_size_nm)
        if model is not None:
            model.save(new / "model.safetensors")
    return path


def _write_maps(folder: Path, places, encoding, field: dict, order: int) -> None:
    angles = angle_map(places, encoding.angle, order=order, **field)
    angles.save(folder / "angle.hspy")
    for n, latent in enumerate(encoding.latent.T, start=1):
        if not encoding.living[n - 1]:  # a map of it would show noise
            continue
        latents = latent_map(places, latent, title=f"latent {n}", **field)
        latents.save(folder / f"latent_{n}.hspy")


def _write_table(path: Path, columns, encoding, kept: np.ndarray, pixel_size_nm) -> None:
    """One row a column; columns whose window did not fit have no angle and no latents (nan)."""
    located = named_numbers(columns)
    row_px = located.pop("row_px")
    col_px = located.pop("col_px")
    table = {"row_px": row_px, "col_px": col_px}
    if pixel_size_nm is not None:
        table["y_nm"] = row_px * pixel_size_nm
        table["x_nm"] = col_px * pixel_size_nm
    table |= located
    for name, values in _encoded_numbers(encoding).items():
        at_columns = np.full(len(columns), np.nan)
        at_columns[kept] = values
        table[name] = at_columns
    write_table(path, table)


def _encoded_numbers(encoding) -> dict[str, np.ndarray]:
    """The numbers (M,) of the sub-images, by the names that they have in the table."""
    named = {"angle_rad": encoding.angle, "angle_sd_rad": encoding.angle_sd}
    latents = zip(encoding.latent.T, encoding.latent_sd.T, strict=True)
    for n, (latent, sd) in enumerate(latents, start=1):
        named[f"latent_{n}"] = latent
        named[f"latent_{n}_sd"] = sd
    named["residual"] = encoding.residual
    return named

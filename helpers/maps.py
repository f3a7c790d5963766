"""Results laid out as images and tables that HyperSpy and a spreadsheet open."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from .angles import fold_angles
from .images import as_positions


def angle_map(
    positions,
    angle: np.ndarray,
    *,
    shape: tuple[int, int],
    pixel_size_nm: float | None = None,
    order: int = 1,
):
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
    return _nearest_column_map(positions, values, shape, pixel_size_nm, title)


def latent_map(
    positions,
    latent: np.ndarray,
    *,
    shape: tuple[int, int],
    pixel_size_nm: float | None = None,
    title: str = "latent",
):
    """Image of one latent (M,), or of any number a column: each pixel takes the nearest column's.

    Parameters and return value are those of `angle_map`.
    """
    return _nearest_column_map(positions, latent, shape, pixel_size_nm, title)


def _nearest_column_map(positions, values, shape, pixel_size_nm, title):
    import hyperspy.api as hs

    positions = as_positions(positions)
    values = np.asarray(values, dtype=np.float32)
    if values.shape != (len(positions),):
        raise ValueError(
            f"{len(positions)} positions, but values of shape {values.shape}: one number a column "
            "is needed (use columns.positions[kept] with what was encoded)"
        )
    tree = cKDTree(positions)
    spacing = np.median(tree.query(positions, k=2)[0][:, 1]) if len(positions) > 1 else np.inf
    pixels = np.indices(shape).reshape(2, -1).T
    # Beyond 1.5 spacings from any column nothing was measured, so nothing is shown.
    distance, nearest = tree.query(pixels, distance_upper_bound=1.5 * spacing, workers=-1)
    image = np.full(len(pixels), np.nan, dtype=np.float32)
    near = np.isfinite(distance)
    image[near] = values[nearest[near]]
    signal = hs.signals.Signal2D(image.reshape(shape))
    signal.metadata.General.title = title
    for axis, name in zip(signal.axes_manager.signal_axes, ("x", "y"), strict=True):
        axis.name = name
        axis.units = "px" if pixel_size_nm is None else "nm"
        axis.scale = 1.0 if pixel_size_nm is None else float(pixel_size_nm)
    return signal


def save_results(
    path: str | Path,
    columns,
    encoding,
    kept: np.ndarray,
    *,
    shape: tuple[int, int],
    pixel_size_nm: float | None = None,
    order: int = 1,
    model=None,
    overwrite: bool = False,
) -> Path:
    """Write maps (.hspy), the table of columns (.csv) and the model into a new folder.

    Parameters
    ----------
    path : folder to make
    columns : Columns
    encoding : Encoding of the sub-images around `columns.positions[kept]`
    kept : (M,) int, as returned by `cut_subimages`
    shape, pixel_size_nm, order : as in `angle_map`
    model : RVAE, optional
        Saved beside the maps.
    overwrite : bool
        Replace a folder that is there already. Nothing is ever half-written: the results are
        put together in a folder of their own, which then takes the name.

    Returns
    -------
    pathlib.Path of the folder.

    Raises
    ------
    ValueError
        If the folder exists and `overwrite` is False, or the lengths do not fit.
    """
    path, kept = Path(path), np.asarray(kept)
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another name, or pass overwrite=True")
    if len(kept) != len(encoding):
        raise ValueError(f"{len(kept)} kept columns, but {len(encoding)} were encoded")
    if len(kept) and kept.max() >= len(columns):
        raise ValueError(
            f"kept names column {kept.max()}, but there are {len(columns)} columns: pass the "
            "columns that were handed to cut_subimages"
        )
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write_maps(partial, as_positions(columns)[kept], encoding, shape, pixel_size_nm, order)
        _write_table(partial / "columns.csv", columns, encoding, kept, pixel_size_nm)
        if model is not None:
            model.save(partial / "model.safetensors")
    except BaseException:
        shutil.rmtree(partial)
        raise
    if path.exists():
        shutil.rmtree(path)
    partial.replace(path)
    return path


def _write_maps(folder: Path, positions, encoding, shape, pixel_size_nm, order: int) -> None:
    place = {"shape": shape, "pixel_size_nm": pixel_size_nm}
    angle_map(positions, encoding.angle, order=order, **place).save(folder / "angle.hspy")
    for n, latent in enumerate(encoding.latent.T, start=1):
        signal = latent_map(positions, latent, title=f"latent {n}", **place)
        signal.save(folder / f"latent_{n}.hspy")


def _write_table(path: Path, columns, encoding, kept: np.ndarray, pixel_size_nm) -> None:
    """One row a column; columns whose window did not fit have no angle and no latents (nan)."""
    table = {"row_px": columns.positions[:, 0], "col_px": columns.positions[:, 1]}
    if pixel_size_nm is not None:
        table |= {"y_nm": table["row_px"] * pixel_size_nm, "x_nm": table["col_px"] * pixel_size_nm}
    for name in ("amplitude", "sigma_px", "background", "position_sd_px", "probability"):
        table[name] = getattr(columns, name)
    encoded = {"angle_rad": encoding.angle, "angle_sd_rad": encoding.angle_sd}
    for n in range(encoding.latent.shape[1]):
        encoded[f"latent_{n + 1}"] = encoding.latent[:, n]
        encoded[f"latent_{n + 1}_sd"] = encoding.latent_sd[:, n]
    encoded["residual"] = encoding.residual
    for name, values in encoded.items():
        table[name] = np.full(len(columns), np.nan)
        table[name][kept] = values
    np.savetxt(
        path,
        np.stack(list(table.values()), axis=1),
        fmt="%.6g",
        delimiter=",",
        header=",".join(table),
        comments="",
    )

"""A variational autoencoder that knows what a rotation is: trained, used, saved and loaded.

Which motifs there are is found first, in `helpers.rvae.kinds`. What the model believes of a
sub-image, and the loss, stand in `helpers.rvae.motifs`; the loop that trains it in
`helpers.rvae.training`; what it says of sub-images in `helpers.rvae.encoding`.
"""

import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from ..device import one_thread, pick_device
from ..images import as_positive, as_whole, warn_of_other_pixel_size
from ..subimages.harmonics import DiskHarmonics, data_band_limit
from .encoding import Encoding, encode_all
from .gauge import choose_axes, reference_motif
from .kinds import Kinds, describe
from .model_file import kinds_from, read_model, tensors_of, write_model
from .motifs import CLASS_SIZE, Motifs
from .noise import SAMPLE, Contrast, Noise, measure_noise
from .pieces import find_pieces, require_enough
from .start import Start
from .training import train

ENOUGH_SUBIMAGES = 200
OPTIONS = ("latent_dim", "seed", "beta", "offsets")  # of a model, kept in its file
LEARNT = ("classes", "pixel_size_nm", "history")  # likewise


class RVAE:
    """Learn the motifs of a stack of sub-images and the turn of each.

    Parameters
    ----------
    window_px : int
        Side of the sub-images. Only the inscribed disk takes part.
    latent_dim : int
        How many numbers besides the angle describe a motif.
    seed : int
        Same seed, same machine: same model. Another seed, another machine: the same angles and
        latents within what is stated of them.
    beta : float
        Weight of the prior on z. At 1 the loss is a bound on the evidence, since the noise level
        is learned; larger values make simpler latents.
    band_limit : float, optional
        Of the disk harmonics; by default it is read from the spectrum of the sub-images.
    offsets : bool
        Let motifs lie off the centre of their windows while they are learned as well, for columns
        whose place is uncertain by a pixel or so. Encoding always allows for it.
    device : {"auto", "cpu", "cuda"}

    Attributes
    ----------
    history : list of dict
        One row a pass: epoch, loss, misfit (-log p), kl, beta, sigma, learning_rate.
    kinds : Kinds
        Of motifs in the stack it was trained on. Of a loaded model, `kinds.apply(stack)` tells the
        kinds of sub-images.
    classes : list of str
        That it was trained with; often none.

    Examples
    --------
    >>> model = RVAE(40).fit(stack)                                     # doctest: +SKIP
    >>> encoding = model.encode(stack)                                  # doctest: +SKIP
    """

    def __init__(
        self, window_px: int, *, latent_dim: int = 2, seed: int = 0, beta: float = 1.0,
        band_limit: float | None = None, offsets: bool = False, device: str = "auto",
    ):  # fmt: skip
        self.latent_dim = as_whole("latent_dim", latent_dim, 1)
        self.seed = int(seed)
        self.offsets = bool(offsets)
        self.device = pick_device(device)
        self.beta = as_positive("beta", beta)
        self._wished_limit = band_limit
        self.history, self.classes, self.pixel_size_nm = [], [], None
        self.basis = DiskHarmonics.build(window_px, band_limit)
        self._forget()

    def _forget(self) -> None:
        """Nothing is learnt yet: what follows is of the training stack, once it is trained."""
        self.kinds = self._motifs = self._contrast = self._noise = None

    def _lay_out(self, n_kinds: int) -> None:
        """New networks on the basis; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            shape = {"n_classes": len(self.classes), "n_kinds": n_kinds, "offsets": self.offsets}
            motifs = Motifs(self.basis, self.latent_dim, **shape)
        self._motifs = motifs.to(self.device)

    def __repr__(self) -> str:
        state = "untrained" if self._noise is None else f"trained, {len(self.history)} epochs"
        size = f"window_px={self.basis.window_px}, latent_dim={self.latent_dim}"
        return f"RVAE({size}, {len(self.basis)} harmonics, {state})"

    # ---------------------------------------------------------------- training

    def fit(
        self, stack, *, epochs: int | None = None, progress: bool = True,
        pixel_size_nm: float | None = None, kinds: Kinds | None = None, classes=None, watch=None,
    ) -> "RVAE":  # fmt: skip
        """Train on sub-images (M, w, w) and return the model.

        Parameters
        ----------
        stack : (M, w, w)
            An array, which may be memory-mapped: it is read in parts.
        epochs : int, optional
            Exactly this many passes over all sub-images; by default as many as are needed.
        progress : bool
            Show a bar with the loss and its parts.
        pixel_size_nm : float, optional
            Remembered, and compared when the model encodes another image.
        kinds : Kinds, optional
            From `find_kinds`, of windows of this size; by default they are found here.
        classes : (M,) of str or int, optional
            What is known of each sub-image, such as its sublattice. Latents and angles then tell
            what varies *within* a class, and `encode` and `decode` want classes too.
        watch : callable, optional
            Called after each pass with its row of `history`; training stops where it returns true.

        Raises
        ------
        ValueError
            If the stack has the wrong shape, holds too few sub-images, NaN, or no contrast, or the
            kinds are of windows of another size.
        """
        epochs = epochs if epochs is None else as_whole("epochs", epochs, 1)
        self.classes = [] if classes is None else [str(k) for k in np.unique(classes)]
        self._forget()  # a second fit starts anew
        self.basis = self._basis_for(stack, kinds)
        stored = getattr(stack, "sample", None)  # of a FrameStore
        c, contrast = self._read(stored([self.seed, 0]) if stored else stack)
        of_class = self._one_hot(classes, len(c))
        with one_thread():
            if kinds is None:
                pieces = find_pieces(c, self.basis, seed=self.seed)
            else:
                pieces = kinds.pieces.to(self.device)
            self._lay_out(pieces.count)
            data = self._stand(pieces, c, of_class)
            start = Start.of(data["seen"], data["kind"], pieces.count, self.latent_dim)
            self._motifs.hold_places(start.places)

            def others(number: int) -> dict:
                other = self._prepare(stored([self.seed, number]), contrast)
                no_class = self._one_hot(None, len(other))
                return self._lead(start, self._stand(pieces, other, no_class))

            options = {"epochs": epochs, "beta": self.beta, "seed": self.seed}
            options |= {"progress": progress, "watch": watch, "draw": others if stored else None}
            self.history = train(self._motifs, self._lead(start, data), **options)
            del data  # of a long stack it is large
            self._contrast, self.pixel_size_nm = contrast, pixel_size_nm
            self.kinds = describe(pieces, c, contrast)
            self._settle(c, of_class)
        return self

    def _read(self, stack) -> tuple[torch.Tensor, Contrast]:
        """Normalised coefficients (M, K) of what is trained on, and their offset and gain."""
        raw = self._coefficients(stack)
        require_enough(len(raw))
        contrast = Contrast.of(raw, self.basis)
        return self._prepare(raw, contrast), contrast

    def _stand(self, pieces, c: torch.Tensor, of_class: torch.Tensor) -> dict:
        """What training needs of coefficients (M, K), which are made to stand upright."""
        upright, kind = pieces.upright(c)
        seen = self._motifs.seen(upright, pieces)
        return {"upright": upright, "seen": seen, "of_class": of_class, "kind": kind}

    def _lead(self, start: Start, data: dict) -> dict:
        """The same, with the latents towards which training is pulled at first."""
        first = start.latents(data["seen"], data["kind"])
        if self.offsets:  # or the latents would learn to tell the shifts
            first[:, self._motifs.fixed :] = 0
        return data | {"first": first}

    def _basis_for(self, stack, kinds: Kinds | None) -> DiskHarmonics:
        """The basis in which a stack is learned: that of the kinds or the store, where given."""
        window_px = self.basis.window_px
        for given, holder in ((kinds and kinds.pieces.basis, "the kinds are of"),
                              (getattr(stack, "basis", None), "the store holds")):  # fmt: skip
            if given is None:
                continue
            if given.window_px != window_px:
                raise ValueError(
                    f"window_px={window_px}, but {holder} windows of {given.window_px} px: "
                    "train an RVAE of that size"
                )
            return given
        limit = self._wished_limit or data_band_limit(stack, window_px)
        return DiskHarmonics.build(window_px, limit)

    # ------------------------------------------------------- after the training

    @torch.no_grad()
    def _settle(self, c: torch.Tensor, of_class: torch.Tensor) -> None:
        """Choose the axes of the latents, fix the zero of the angle, and measure the noise."""
        motifs, pieces = self._motifs, self._pieces
        if unknown := [name for name, n in zip(pieces.names, pieces.order, strict=True) if n == 0]:
            warnings.warn(
                f"the turn of {', '.join(unknown)} is not known: these motifs are round, or the "
                "noise hides their turn; angles are stated as unknown",
                stacklevel=4,
            )
        if not pieces.names:
            warnings.warn(
                "a turn explains nothing of sub-images that were held back: this looks like noise, "
                "and angles are stated as unknown; check image, columns and window",
                stacklevel=4,
            )
        some = slice(None, None, -(-len(c) // SAMPLE))
        c, of_class = c[some], of_class[some]
        upright, kind = pieces.upright(c)
        z = motifs.propose(motifs.seen(upright, pieces), of_class)[0]
        motifs.axes.copy_(choose_axes(lambda z: motifs.draw(z, of_class), z, motifs.fixed))
        g = motifs.draw(z, of_class)
        for number in range(pieces.count):
            motifs.reference[number] = reference_motif(motifs.series, g[kind == number])
        self._noise = measure_noise(motifs, pieces, self.basis, c, of_class)

    @property
    def _pieces(self):
        return self.kinds.pieces

    # ------------------------------------------------------------------- using

    @torch.no_grad()
    def encode(
        self, stack, *, normalization: str = "stack",
        pixel_size_nm: float | None = None, classes=None,
    ) -> Encoding:  # fmt: skip
        """Angle and latents of sub-images (M, w, w), with their uncertainty.

        Parameters
        ----------
        stack : (M, w, w)
        normalization : {"stack", "model"}
            "stack" estimates offset, gain and noise from the whole stack handed in, for another
            image; "model" keeps those of the training, for parts of the same image and single
            columns.
        pixel_size_nm : float, optional
            A warning says so when it differs by more than 3 % from the training's.
        classes : (M,), only and always for a model that was trained with classes

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the stack or the classes do not fit the model, or `normalization` is another word.
        """
        self._require_training()
        if normalization not in ("stack", "model"):
            raise ValueError(f'normalization={normalization!r}, but "stack" or "model" is needed')
        warn_of_other_pixel_size(self.pixel_size_nm, pixel_size_nm)
        c = self._coefficients(stack)
        of_class = self._one_hot(classes, len(c))
        anew, noise = normalization == "stack", self._noise
        if anew and len(c) < ENOUGH_SUBIMAGES:
            found = f"offset, gain and noise were estimated from {len(c)} sub-images"
            remedy = f'under {ENOUGH_SUBIMAGES} use normalization="model" for parts of one image'
            warnings.warn(f"{found}; {remedy}", stacklevel=3)  # no_grad lies between
        c = self._prepare(c, Contrast.of(c, self.basis) if anew else self._contrast)
        if anew:
            noise = measure_noise(self._motifs, self._pieces, self.basis, c, of_class)
        return encode_all(self._motifs, self._pieces, c, of_class, noise)

    @torch.no_grad()
    def decode(self, latent, angle=0.0, *, classes=None) -> np.ndarray:
        """Draw motifs (M, w, w) of `latent` (M, d), turned by `angle`, in the input's units.

        NaN outside the disk. `decode(e.latent, e.angle)` reconstructs what was encoded.
        """
        self._require_training()
        latent = np.atleast_2d(np.asarray(latent, dtype=np.float32))
        if (given := latent.shape[1]) != self.latent_dim:
            raise ValueError(f"{given} latents, but this model has latent_dim={self.latent_dim}")
        z = torch.as_tensor(latent, device=self.device) @ self._motifs.axes
        g = self._motifs.draw(z, self._one_hot(classes, len(z)))
        angle = torch.tensor(np.broadcast_to(angle, len(g)), dtype=g.dtype, device=self.device)
        kind = self._pieces.kind[self._pieces.nearest(g)]
        g = self._motifs.series.rotate(g, angle - self._motifs.gauge(g, kind))
        motifs = self.basis.synthesise(g.cpu().numpy())
        return motifs * np.float32(self._contrast.gain) + np.float32(self._contrast.offset)

    def _coefficients(self, stack) -> np.ndarray:
        """Of sub-images (M, w, w), (M, K); those of a FrameStore (M, K) are some already."""
        return stack if np.shape(stack)[1:] == (len(self.basis),) else self.basis.project(stack)

    def _prepare(self, c: np.ndarray, contrast: Contrast) -> torch.Tensor:
        return torch.as_tensor(contrast.remove(c, self.basis), device=self.device)

    def _one_hot(self, classes: np.ndarray | None, count: int) -> torch.Tensor:
        """The class of each sub-image as a row of zeros with one entry, (M, n); n may be 0."""
        names = [] if classes is None else [str(k) for k in np.atleast_1d(classes)]
        unknown = sorted(set(names) - set(self.classes))
        if unknown or len(names) != (count if self.classes else 0):
            found = f"{len(names)} classes for {count} sub-images, unknown ones: {unknown}"
            rule = f"give each one of {self.classes}, and none to a model without classes"
            raise ValueError(f"{found}; {rule}")
        marks = np.array([[name == k for k in self.classes] for name in names]).reshape(count, -1)
        return torch.as_tensor(CLASS_SIZE * marks.astype(np.float32), device=self.device)

    def _require_training(self) -> None:
        if self._noise is None:
            raise RuntimeError("this model is not trained yet: call fit(stack) first")

    # ------------------------------------------------------------------ keeping

    def save(self, path: str | Path) -> Path:
        """Write the model to a safetensors file; see `helpers.rvae.model_file`."""
        self._require_training()
        settings = {name: getattr(self, name) for name in (*OPTIONS, *LEARNT)}
        settings |= {"window_px": self.basis.window_px, "band_limit": self.basis.band_limit}
        settings |= {"contrast": asdict(self._contrast), "noise": asdict(self._noise)}
        of_kinds, settings["kinds"] = tensors_of(self.kinds)
        return write_model(path, self._motifs.state_dict() | of_kinds, settings)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> "RVAE":
        """Read a model that `save` wrote. Nothing in the file is executed.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not a whole model of this package.
        """
        path, device = Path(path), pick_device(device)
        try:
            weights, settings = read_model(path)
            names = ("window_px", "band_limit", *OPTIONS)
            model = cls(device=device, **{name: settings[name] for name in names})
            vars(model).update({name: settings[name] for name in LEARNT})
            model.kinds, weights = kinds_from(weights, settings["kinds"], model.basis)
            model.kinds = replace(model.kinds, pieces=model._pieces.to(model.device))
            model._lay_out(model._pieces.count)
            model._motifs.load_state_dict(weights)
            model._contrast = Contrast(**settings["contrast"])
            model._noise = Noise(**settings["noise"])
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as problem:
            raise ValueError(f"{path} is not a whole model ({problem}): save it again") from problem
        return model

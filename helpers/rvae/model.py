"""A variational autoencoder that knows what a rotation is: trained, used, saved and loaded.

Which motifs there are is found first, in `helpers.rvae.kinds`. What the model believes of a
sub-image, and the loss, stand in `helpers.rvae.motifs`; the loop that trains it in
`helpers.rvae.training`; what it says of sub-images in `helpers.rvae.encoding`.
"""

import warnings
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from ..device import one_thread, pick_device
from ..images import (
    as_pixel_size,
    as_positive,
    as_whole,
    values_of,
    warn_of_other_pixel_size,
)
from ..subimages.harmonics import DiskHarmonics
from .encoding import Encoding, encode_all
from .gauge import choose_axes, reference_motif
from .kinds import Kinds, describe
from .model_file import kinds_from, read_whole_model, tensors_of, write_whole_model
from .motifs import Motifs
from .noise import SAMPLE, Contrast, Noise, measure_noise
from .pieces import find_pieces, require_enough
from .reading import (
    basis_for,
    class_names,
    coefficients_of,
    is_store,
    one_angle_each,
    one_hot,
    require_no_classes_of_store,
)
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
        self,
        window_px: int,
        *,
        latent_dim: int = 2,
        seed: int = 0,
        beta: float = 1.0,
        band_limit: float | None = None,
        offsets: bool = False,
        device: str = "auto",
    ):
        self.latent_dim = as_whole("latent_dim", latent_dim, 1)
        self.seed = int(seed)
        self.offsets = bool(offsets)
        self.device = pick_device(device)
        self.beta = as_positive("beta", beta)
        self.history = []
        self.classes = []
        self.pixel_size_nm = None
        self.basis = DiskHarmonics.build(window_px, band_limit)
        self._wished_limit = None if band_limit is None else self.basis.band_limit
        self._forget()

    def _forget(self) -> None:
        """Nothing is learnt yet: what follows is of the training stack, once it is trained."""
        self.kinds = None
        self._motifs = None
        self._contrast = None
        self._noise = None

    def _lay_out(self, n_kinds: int) -> None:
        """New networks on the basis; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            motifs = Motifs(
                self.basis,
                self.latent_dim,
                n_classes=len(self.classes),
                n_kinds=n_kinds,
                offsets=self.offsets,
            )
        self._motifs = motifs.to(self.device)

    def __repr__(self) -> str:
        state = "untrained"
        if self._noise is not None:
            state = f"trained, {len(self.history)} epochs"
        size = f"window_px={self.basis.window_px}, latent_dim={self.latent_dim}"
        return f"RVAE({size}, {len(self.basis)} harmonics, {state})"

    # ---------------------------------------------------------------- training

    def fit(
        self,
        stack,
        *,
        epochs: int | None = None,
        progress: bool = True,
        pixel_size_nm: float | None = None,
        kinds: Kinds | None = None,
        classes=None,
        watch=None,
    ) -> "RVAE":
        """Train on sub-images (M, w, w) and return the model.

        Whatever ends the training early, but for `watch`, leaves the model as it was.

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
            If the stack has the wrong shape, holds too few sub-images, NaN, or no contrast, the
            kinds or the FrameStore are of another window or band limit, or classes are given for
            a FrameStore.
        """
        if epochs is not None:
            epochs = as_whole("epochs", epochs, 1)
        require_no_classes_of_store(stack, classes)
        learner = self._untrained()  # this model stays as it is until another one is whole
        learner.classes = class_names(classes)
        learner.pixel_size_nm = as_pixel_size(pixel_size_nm)
        learner.basis = basis_for(stack, kinds, self.basis.window_px, self._wished_limit)
        c, learner._contrast = learner._read_first(stack)
        of_class = learner._one_hot(classes, len(c))
        with one_thread():
            # Which motifs there are, and how each sub-image stands, is found before any network.
            pieces = learner._pieces_of(c, kinds)
            learner._lay_out(pieces.count)
            passes = {"epochs": epochs, "progress": progress, "watch": watch}
            learner.history = learner._train(stack, c, of_class, pieces, **passes)
            # What the training leaves free is settled by rules.
            learner.kinds = describe(pieces, c, learner._contrast)
            learner._settle(c, of_class)
        _warn_of_unknown_turns(pieces)
        vars(self).update(vars(learner))
        return self

    def _untrained(self) -> "RVAE":
        """A model of the same options that has learnt nothing yet."""
        model = copy(self)
        model._forget()
        return model

    def _read_first(self, stack) -> tuple[torch.Tensor, Contrast]:
        """Normalised coefficients (M, K) of the first pass, and their offset and gain."""
        if is_store(stack):
            stack = stack.sample([self.seed, 0])
        raw = coefficients_of(stack, self.basis)
        require_enough(len(raw))
        contrast = Contrast.of(raw, self.basis)
        return self._prepare(raw, contrast), contrast

    def _read_again(self, store, number: int) -> torch.Tensor:
        """Normalised coefficients (M, K) that a store draws for a later pass."""
        sample = store.sample([self.seed, number])
        raw = coefficients_of(sample, self.basis)
        return self._prepare(raw, self._contrast)

    def _pieces_of(self, c: torch.Tensor, kinds: Kinds | None):
        """The pieces of the mixture that tells how sub-images (M, K) stand."""
        if kinds is None:
            return find_pieces(c, self.basis, seed=self.seed)
        return kinds.pieces.to(self.device)

    def _train(self, stack, c: torch.Tensor, of_class: torch.Tensor, pieces, **passes):
        """Turn all sub-images upright, and train from latents that are read off them.

        Returns the history, one row a pass.
        """
        data = self._stand(pieces, c, of_class)
        start = Start.of(data["seen"], data["kind"], pieces.count, self.latent_dim)
        self._motifs.hold_places(start.places)

        def draw(number: int) -> dict:
            other = self._read_again(stack, number)
            no_class = self._one_hot(None, len(other))
            return self._lead(start, self._stand(pieces, other, no_class))

        return train(
            self._motifs,
            self._lead(start, data),
            beta=self.beta,
            seed=self.seed,
            draw=draw if is_store(stack) else None,
            **passes,
        )

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

    @torch.no_grad()
    def _settle(self, c: torch.Tensor, of_class: torch.Tensor) -> None:
        """Choose the axes of the latents, fix the zero of the angle, and measure the noise."""
        motifs = self._motifs
        pieces = self._pieces
        step = -(-len(c) // SAMPLE)  # rounded up
        c = c[::step]
        of_class = of_class[::step]
        upright, kind = pieces.upright(c)
        seen = motifs.seen(upright, pieces)
        z, _ = motifs.propose(seen, of_class)

        def decoder(latents: torch.Tensor) -> torch.Tensor:
            return motifs.draw(latents, of_class)

        axes = choose_axes(decoder, z, motifs.fixed)
        motifs.axes.copy_(axes)
        g = decoder(z)
        for number in range(pieces.count):
            motifs.reference[number] = reference_motif(motifs.series, g[kind == number])
        self._noise = measure_noise(motifs, pieces, self.basis, c, of_class)

    @property
    def _pieces(self):
        return self.kinds.pieces

    # ------------------------------------------------------------------- using

    @torch.no_grad()
    def encode(
        self,
        stack,
        *,
        normalization: str = "stack",
        pixel_size_nm: float | None = None,
        classes=None,
    ) -> Encoding:
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
            If the stack is empty, it or the classes do not fit the model, or `normalization` is
            another word.
        """
        self._require_training()
        if normalization not in ("stack", "model"):
            raise ValueError(f'normalization={normalization!r}, but "stack" or "model" is needed')
        warn_of_other_pixel_size(self.pixel_size_nm, pixel_size_nm)
        raw = coefficients_of(stack, self.basis)
        of_class = self._one_hot(classes, len(raw))
        estimate = normalization == "stack"
        if estimate and len(raw) < ENOUGH_SUBIMAGES:
            warnings.warn(
                f"offset, gain and noise were estimated from {len(raw)} sub-images; "
                f'under {ENOUGH_SUBIMAGES} use normalization="model" for parts of one image',
                stacklevel=3,  # no_grad lies between
            )
        contrast = Contrast.of(raw, self.basis) if estimate else self._contrast
        c = self._prepare(raw, contrast)
        del raw  # of a long stack it is large
        noise = self._noise
        if estimate:
            noise = measure_noise(self._motifs, self._pieces, self.basis, c, of_class)
        return encode_all(self._motifs, self._pieces, c, of_class, noise)

    @torch.no_grad()
    def decode(self, latent, angle=0.0, *, classes=None) -> np.ndarray:
        """Draw motifs (M, w, w) of `latent` (M, d), turned by `angle`, in the input's units.

        NaN outside the disk. `decode(e.latent, e.angle)` reconstructs what was encoded.
        """
        self._require_training()
        latent = np.atleast_2d(values_of(latent, np.float32))
        if latent.shape[1] != self.latent_dim:
            raise ValueError(
                f"{latent.shape[1]} latents, but this model has latent_dim={self.latent_dim}"
            )
        angle = one_angle_each(angle, len(latent))
        z = torch.as_tensor(latent, device=self.device) @ self._motifs.axes
        g = self._motifs.draw(z, self._one_hot(classes, len(z)))
        turn = torch.tensor(angle, dtype=g.dtype, device=self.device)
        kind = self._pieces.kind[self._pieces.nearest(g)]
        zero = self._motifs.gauge(g, kind)
        g = self._motifs.series.rotate(g, turn - zero)
        motifs = self.basis.synthesise(g.cpu().numpy())
        return motifs * np.float32(self._contrast.gain) + np.float32(self._contrast.offset)

    def _prepare(self, raw: np.ndarray, contrast: Contrast) -> torch.Tensor:
        """Coefficients (M, K) with the offset at zero and the gain at one."""
        return torch.as_tensor(contrast.remove(raw, self.basis), device=self.device)

    def _one_hot(self, classes, count: int) -> torch.Tensor:
        """The class of each sub-image as a row of zeros with one entry, (M, n); n may be 0."""
        return torch.as_tensor(one_hot(classes, count, self.classes), device=self.device)

    def _require_training(self) -> None:
        if self._noise is None:
            raise RuntimeError("this model is not trained yet: call fit(stack) first")

    # ------------------------------------------------------------------ keeping

    def save(self, path: str | Path) -> Path:
        """Write the model to a safetensors file; see `helpers.rvae.model_file`.

        Raises
        ------
        ValueError, FileNotFoundError
            If the path is that of a folder, its folder is missing, or what the model holds could
            not be loaded again.
        OSError
            If there is no room for the file, or it may not be written there. Nothing is left of
            it, and a file that was there before is as it was.
        """
        self._require_training()
        settings = {name: getattr(self, name) for name in (*OPTIONS, *LEARNT)}
        settings["window_px"] = self.basis.window_px
        settings["band_limit"] = self.basis.band_limit
        settings["contrast"] = asdict(self._contrast)
        settings["noise"] = asdict(self._noise)
        of_kinds, settings["kinds"] = tensors_of(self.kinds)
        weights = self._motifs.state_dict()
        return write_whole_model(path, weights | of_kinds, settings)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> "RVAE":
        """Read a model that `save` wrote. Nothing in the file is executed.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not a whole model of this package.
        """
        device = pick_device(device)
        weights, settings = read_whole_model(path)
        return cls._of_file(weights, settings, device)

    @classmethod
    def _of_file(cls, weights: dict, settings: dict, device: str) -> "RVAE":
        """The trained model of these weights and settings, which are whole."""
        options = {name: settings[name] for name in ("window_px", "band_limit", *OPTIONS)}
        model = cls(device=device, **options)
        for name in LEARNT:
            setattr(model, name, settings[name])
        kinds, weights = kinds_from(weights, settings["kinds"], model.basis)
        pieces = kinds.pieces.to(model.device)
        model.kinds = replace(kinds, pieces=pieces)
        model._lay_out(pieces.count)
        model._motifs.load_state_dict(weights)
        model._contrast = Contrast(**settings["contrast"])
        model._noise = Noise(**settings["noise"])
        return model


def _warn_of_unknown_turns(pieces) -> None:
    """Say where training found no turn: in motifs of some kinds, or in all that it saw."""
    unknown = [name for name, n in zip(pieces.names, pieces.order, strict=True) if n == 0]
    if unknown:
        warnings.warn(
            f"the turn of {', '.join(unknown)} is not known: these motifs are round, or the "
            "noise hides their turn; angles are stated as unknown",
            stacklevel=3,
        )
    if not pieces.names:
        warnings.warn(
            "a turn explains nothing of sub-images that were held back: this looks like noise, "
            "and angles are stated as unknown; check image, columns and window",
            stacklevel=3,
        )

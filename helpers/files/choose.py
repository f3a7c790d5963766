"""Which image of a file is meant: one of several signals, or one of the channels of a signal.

Channels of one scan (ADF and BF) are no frames of one image, and must never be averaged as such.
"""

from dataclasses import dataclass
from pathlib import Path

from .refusal import SIGNAL_OPTION

# Names of axes along which images of different kind stand, in the spelling of many programs.
_KINDS = {"channel", "channels", "detector", "detectors", "color", "colour"}


def axes_of(signal) -> list:
    """The axes in the order of the array: frames, rows, columns."""
    manager = signal.axes_manager
    axes = [*manager.navigation_axes, *manager.signal_axes]
    return sorted(axes, key=lambda axis: axis.index_in_array)


@dataclass(frozen=True)
class Choice:
    """A signal, or one of its channels: `channel` is the index along `axis`."""

    signal: object
    title: str
    axis: object = None
    channel: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in axes_of(self.signal) if axis is not self.axis)

    def take(self):
        """The signal itself, or a plain one of the channel alone, with its title."""
        if self.axis is None:
            return self.signal
        from hyperspy.signals import LazySignal2D, Signal2D

        before = (slice(None),) * self.axis.index_in_array
        others = [axis for axis in axes_of(self.signal) if axis is not self.axis]
        plain = LazySignal2D if self.signal._lazy else Signal2D
        channel = plain(
            self.signal.data[*before, self.channel],
            axes=[axis.get_axis_dictionary() for axis in others],
            metadata=self.signal.metadata.as_dictionary(),
            original_metadata=self.signal.original_metadata.as_dictionary(),
        )
        channel.metadata.General.title = self.title
        if channel.metadata.has_item("Rvae_stem.channels"):
            del channel.metadata.Rvae_stem.channels
        return channel


def choose(signals: list, wanted: int | str | None, path: Path):
    """The one signal, or that with the index or title `wanted`; channels count as signals.

    Raises
    ------
    ValueError
        If not exactly one is meant; the message lists them.
    """
    choices = [choice for signal in signals for choice in _choices_of(signal)]
    matches = [
        choice for index, choice in enumerate(choices) if _is_meant(wanted, index, choice.title)
    ]
    if not matches and isinstance(wanted, str) and wanted.isdecimal():
        matches = choices[int(wanted) :][:1]  # a command line knows no numbers, only texts
    if len(matches) == 1:
        return matches[0].take()
    lines = [_why(signals, choices, wanted, len(matches), path)]
    for index, choice in enumerate(choices):
        lines.append(f"  {index}: {choice.title or '(no title)'}, shape {choice.shape}")
    raise ValueError("\n".join(lines))


def _is_meant(wanted: int | str | None, index: int, title: str) -> bool:
    if isinstance(wanted, bool):
        return False
    return wanted in (None, index, title)


def _why(signals: list, choices: list, wanted, matches: int, path: Path) -> str:
    """The first line of a refusal: what was asked for, and what the file holds."""
    named = [choice for choice in choices if choice.axis is not None]
    if wanted is None and len(signals) == 1 and named:
        axis = named[0].axis
        titles = ", ".join(choice.title for choice in named)
        nth = ["first", "second", "third", "fourth"][axis.index_in_array]
        meant = f"choose one with {SIGNAL_OPTION}, by index or name"
        return f"{path}: the {nth} axis is {axis.name} ({titles}): {meant}:"
    number = "several signals" if matches else "no signal"
    holds = f"{path}, which holds {len(choices)} signals; {SIGNAL_OPTION} takes index or title"
    return f"signal={wanted!r} names {number} of {holds}:"


def _choices_of(signal) -> list[Choice]:
    """The signal as it is; or its channels, where an axis says that it has some."""
    title = str(signal.metadata.get_item("General.title", ""))
    axes = axes_of(signal)
    kinds = [axis for axis in axes[:-2] if _plain_name(axis) in _KINDS]
    if not kinds:
        return [Choice(signal, title)]
    axis = kinds[0]
    names = signal.metadata.get_item("Rvae_stem.channels", None)
    if not isinstance(names, list | tuple) or len(names) != axis.size:
        names = [""] * axis.size
    return [
        Choice(signal, name or f"{axis.name} {channel}", axis, channel)
        for channel, name in enumerate(names)
    ]


def _plain_name(axis) -> str:
    return str(axis.name).strip().lower()

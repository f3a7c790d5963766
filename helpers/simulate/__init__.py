"""Simulated ADF-STEM images with the truth of every column.

``cells``: one projected cell by multislice, for every thickness. ``specimen``: crystals, grains,
wedges, faults. ``scan``: drift, jitter, fly-back and dose. ``lattices``: many lattices at once,
to train the segmenter.
"""

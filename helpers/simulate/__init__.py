"""Simulated ADF-STEM images with the truth of every column.

``lattices``: perfect crystals as sums of Gaussians. ``scan``: drift, jitter, fly-back and dose.
``truth`` and ``score``: what is known, and what of it was found. The specimens are made beside the
data: Sr3Fe2O7 in ``data/specimen.py``, graphene and a ferroelectric in ``data/atoms.py``.
"""

"""Simulated ADF-STEM images with the truth of every column.

``lattices``: perfect crystals as sums of Gaussians. ``atoms``: graphene. ``scan``: drift,
jitter, fly-back and dose. ``truth`` and ``score``: what is known, and what of it was found. The
crystals of Sr3Fe2O7 are made in ``data/specimen.py``, beside the multislice that they need, a
ferroelectric with two domains in ``data/ferroelectric.py``.
"""

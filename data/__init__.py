"""Simulated images with their truth, and all that was made from them: `helpers.simulate`.

The files lie beside the programs that made them. `helpers.fetch` finds the files.
"""

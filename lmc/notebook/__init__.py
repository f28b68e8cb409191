"""Notebooks: the cell magic `%%lmp`, and the progress of a compilation.

`%load_ext lmc` loads it. Programs, results and evaluations show themselves in any case.
"""

from lmc.notebook.progress import Progress

__all__ = ["Progress"]

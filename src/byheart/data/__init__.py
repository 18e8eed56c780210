"""Data sets: loading, balanced subsets, corruption."""

from byheart.data.corruption import Corruption, corrupt, draw_corruption
from byheart.data.dataset import Dataset
from byheart.data.sources import load_dataset

__all__ = ["Corruption", "Dataset", "corrupt", "draw_corruption", "load_dataset"]

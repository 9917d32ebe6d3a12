"""AudioSet: Google's lists, a folder of sound or Parquet files, with random access or as a stream.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from .dataset import AudioSet
from .stream import AudioStream

__all__ = ["AudioSet", "AudioStream"]

"""Pictures on disk: folders of files, and data sets that know what is on them.

files.py     every picture below a folder
opening.py   `open_data`: finds out what a folder holds
dataset.py   `DataSet`: pictures with the classes of a model
splits.py    test, val, train
stamps.py    which pictures were trained on
learning.py  the parts that a training run needs
folders.py   class folders, a folder with a table of labels, a plain folder
tables.py    labels in .csv, .json, .jsonl, .txt
idx.py       the files of MNIST and Fashion-MNIST
parquet.py   the files of the Hugging Face hub
masks.py     pictures with a label for every pixel
labels.py    the names of a model's classes
classes.py   which class of a model a name means
decoding.py  pictures decoded ahead by a few threads
"""

from edgekit.data.dataset import DataSet, Picture
from edgekit.data.files import SUFFIXES, picture_files, read_pictures
from edgekit.data.learning import Lessons, open_lessons
from edgekit.data.masks import open_masks
from edgekit.data.opening import open_data

__all__ = [
    "SUFFIXES",
    "DataSet",
    "Lessons",
    "Picture",
    "open_data",
    "open_lessons",
    "open_masks",
    "picture_files",
    "read_pictures",
]

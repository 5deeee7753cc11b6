"""Images on disk: folders of files, and data sets that know what is on them.

files.py     every image below a folder
opening.py   `open_data`: finds out what a folder holds
dataset.py   `DataSet`: images with the classes of a model
splits.py    test, val, train
stamps.py    which images were trained on
training_splits.py  the parts that a training run needs
folders.py   class folders, a folder with a table of labels, a plain folder
tables.py    labels in .csv, .json, .jsonl, .txt
idx.py       the files of MNIST and Fashion-MNIST
parquet.py   the files of the Hugging Face hub
masks.py     images with a label for every pixel
boxes.py     images with boxes around things: coco.py (also Hugging Face's folders), yolo.py, voc.py; marks.py is what these find
clips.py     data sets of videos; video.py is what a model sees of one
labels.py    the names of a model's classes
classes.py   which class of a model a name means
decoding.py  images decoded ahead by a few threads
"""

from edgekit.data.boxes import open_boxes
from edgekit.data.clips import open_clips
from edgekit.data.dataset import DataSet, Picture
from edgekit.data.files import SUFFIXES, picture_files, read_pictures
from edgekit.data.masks import open_masks
from edgekit.data.opening import open_data
from edgekit.data.training_splits import Splits, open_splits

__all__ = [
    "SUFFIXES",
    "DataSet",
    "Picture",
    "Splits",
    "open_boxes",
    "open_clips",
    "open_data",
    "open_masks",
    "open_splits",
    "picture_files",
    "read_pictures",
]

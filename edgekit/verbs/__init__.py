"""The public face in Python: the verbs of the command line, on the same functions below.

asked.py        arguments, checked by the types that verbs declare
words.py        errors in keywords in place of flags
artifacts.py    `load`, and the artifact that answers images
pictures.py     what a caller may give for an image
predictions.py  what is said of one
exporting.py    `export`
learning.py     `train` and `prune`
proving.py      `verify` and `compare`
timing.py       `bench` and `report`
comparing.py    `benchmark` and `tune`
judging.py      `evaluate` and `gate`

Nothing here prints; `say` takes the lines that a command would show, `progress` how far it is.
"""

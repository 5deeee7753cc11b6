"""How often artifacts are right on images, and how much of it one loses to another.

opening.py        the images that a file can be judged on
checks.py         which files can be judged on which images, and against each other
run.py            `evaluate`: images in, recorded answers, figures out
answers.py        what was answered, in a file that only grows
counting.py       what a task keeps of each image, and makes of it: classes.py, segments.py, boxes.py, vectors.py
results.py        figures, and what one file loses to another, in terms of every task
accuracy.py       classification: by class, image by image
words.py          the same in sentences
label_check.py    signs that the labels are wrong, not the model
contact_sheet.py  the images that two artifacts name differently, or find other things on
"""

from edgekit.evaluation.opening import open_for, part_of
from edgekit.evaluation.run import STATE, Evaluation, evaluate, evaluated

__all__ = ["STATE", "Evaluation", "evaluate", "evaluated", "open_for", "part_of"]

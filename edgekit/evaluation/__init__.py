"""How often artifacts are right on pictures, and how much of it one loses to another.

run.py            `evaluate`: pictures in, recorded answers, figures out
answers.py        what was answered, in a file that only grows
accuracy.py       figures from recorded answers
label_check.py    signs that the labels are wrong, not the model
contact_sheet.py  the pictures that two artifacts name differently
"""

from edgekit.evaluation.run import STATE, Evaluation, evaluate, evaluated

__all__ = ["STATE", "Evaluation", "evaluate", "evaluated"]

"""From images to a trained model, which is a folder that `export` and `train` take for a model.

settings.py    what a run was asked to do
run.py         `train`: one straight function
setup.py      what does not change in a run, and where it stands
resuming.py    the saved state, and whether it is of the run that is asked for
learner.py     a step, a score, and the state between two steps
batches.py     images streamed from a data set, augmented by timm
frozen.py      what a frozen body makes of each image, once
quantized.py   the network as its int8 file will see it
objective.py   what a task means: truths, loss, counts; a class an image, a teacher
masks.py       a class a pixel
boxes.py       things and where they are; lessons.py: which detectors can be taught, simota.py, ssd.py: by which loss
fitting.py     a model that answers the images' classes
randomness.py  why a resumed run draws what it would have drawn
world.py       one process, or several under torchrun
folder.py      the files of a run
curve.py       the learning curve
"""

from edgekit.extras import needs

with needs("train"):
    from edgekit.training.run import train
from edgekit.training.settings import Settings

__all__ = ["Settings", "train"]

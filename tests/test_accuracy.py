"""What must hold of real models on real images, in the real runtime. Figures are counts of answers, never times.

That the bundled MobileNetV2 keeps its accuracy stands in test_readme.py, whose session exports and evaluates it."""

import photos
import pytest

from edgekit.data.tables import read_table
from edgekit.pipeline import export
from edgekit.recipe import Quantize, Recipe

pytestmark = [pytest.mark.full, pytest.mark.slow]


def test_efficientnet_lite0_keeps_its_answers_on_real_photographs(tmp_path):
    def made(scheme):
        recipe = Recipe("efficientnet_lite0", "tflite", weights="package", quantize=Quantize(scheme=scheme))
        return export(recipe, tmp_path / recipe.folder_name)

    fp32, int8 = made("fp32"), made("int8")
    assert fp32.manifest.proof.sqnr_db >= 100
    assert int8.manifest.scheme == "int8-static"
    assert int8.model_bytes <= 0.32 * fp32.model_bytes
    found = photos.on_photos([int8, fp32], tmp_path)
    print(found)
    paired = found.paired
    assert paired.pictures == 117
    assert found.accuracies[1].top1.hits >= 98  # the weights' mapping and the preprocessing
    assert paired.confident_agreement.value >= 0.95
    assert paired.lost - paired.won <= 3


def test_nothing_of_the_labelled_photographs_calibrates():
    from edgekit.calibration import PHOTOGRAPHS

    names = {name.rpartition("/")[2] for files in PHOTOGRAPHS.values() for name in files}
    assert not names & {name.rpartition("/")[2] for name in read_table(photos.LABELS)}

"""What must hold of real models on real pictures, in the real runtime. Figures are counts of answers, never times."""

import fashion
import photos
import pytest

from edgekit.data.tables import read_table
from edgekit.evaluation.accuracy import drop_verdict
from edgekit.pipeline import export
from edgekit.recipe import Quantize, Recipe

pytestmark = [pytest.mark.full, pytest.mark.slow]


def size(made):
    return made.manifest.files[made.model_file.name].bytes


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    def make(model, scheme, weights):
        recipe = Recipe(model=model, target="tflite", weights=weights, quantize=Quantize(scheme=scheme))
        return export(recipe, tmp_path_factory.mktemp("real") / recipe.folder_name)

    return make


def test_efficientnet_lite0_keeps_its_answers_on_real_photographs(make, tmp_path):
    fp32, int8 = (make("efficientnet_lite0", scheme, "package") for scheme in ("fp32", "int8"))
    assert fp32.manifest.proof.sqnr_db >= 100
    assert int8.manifest.scheme == "int8-static"
    assert size(int8) <= 0.32 * size(fp32)
    found = photos.on_photos([int8, fp32], tmp_path)
    print(found)
    paired = found.paired
    assert paired.pictures == 117
    assert found.accuracies[1].top1.hits >= 98  # the weights' mapping and the preprocessing
    assert paired.confident_agreement.value >= 0.95
    assert paired.lost - paired.won <= 3


def test_bundled_mobilenetv2_keeps_its_accuracy(make, tmp_path):
    fp32, int8 = (make("mobilenetv2", scheme, "bundled") for scheme in ("fp32", "int8"))
    assert size(int8) <= 0.32 * size(fp32)
    found = fashion.measure([int8, fp32], state=tmp_path)
    print(found)
    assert found.accuracies[1].top1.of == 10_000
    assert found.accuracies[1].top1.value >= 0.89
    assert found.paired.drop.estimate <= 0.005
    assert drop_verdict(found.paired, 0.01) == "pass"
    assert found.suspicion is None


def test_nothing_of_the_labelled_photographs_calibrates():
    from edgekit.calibration import PHOTOGRAPHS

    names = {name.rpartition("/")[2] for files in PHOTOGRAPHS.values() for name in files}
    assert not names & {name.rpartition("/")[2] for name in read_table(photos.LABELS)}

"""An artifact is made again from its manifest: identical, or different for a reason that is told."""

import shutil

import msgspec
import pytest
from click.testing import CliRunner
from conftest import GOLDEN_FILES

from edgekit import artifact
from edgekit.artifact import Artifact
from edgekit.cli.reproduce import reproduce as command
from edgekit.errors import RequestError
from edgekit.reproduction import compare, recipe_of

pytestmark = pytest.mark.full


@pytest.fixture
def then():
    return artifact.load(GOLDEN_FILES / "tiny-tflite-int8")


def changed(of, **fields):
    return Artifact(of.folder, msgspec.structs.replace(of.manifest, **fields))


def with_bytes(of, name):
    files = of.manifest.files
    return files | {name: msgspec.structs.replace(files[name], sha256="0" * 64)}


def test_the_same_request_gives_the_same_bytes(exported, pictures):
    made = exported("int8-static", target="onnx")
    done = CliRunner().invoke(command, [str(made.folder), "--calibration", str(pictures), "-q"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"identical: {made.folder} was made again, byte for byte")


def test_a_difference_is_explained_by_versions_or_it_fails(then):
    same = compare(then, then)
    assert (same.identical, same.answers) == (True, 0.0)
    other = changed(then, files=with_bytes(then, "model.tflite"))
    found = compare(then, other)
    assert (found.files, found.identical, found.explained) == (("model.tflite",), False, False)
    newer = {"made_with": then.manifest.made_with | {"torch": "99"}}
    found = compare(then, changed(other, **newer))
    assert found.explained
    assert found.surroundings == (f"torch is 99, was {then.manifest.made_with['torch']}",)
    assert compare(then, changed(then, **newer)).identical  # other versions, the same bytes
    elsewhere = {"made_on": then.manifest.made_on | {"cpu_class": "arm-none"}}
    assert "CPU class is arm-none, was x86-vnni" in compare(then, changed(other, **elsewhere)).surroundings


def test_other_weights_are_no_matter_of_versions(then):
    weights = msgspec.structs.replace(then.manifest.weights, sha256="0" * 64)
    found = compare(then, changed(then, weights=weights, made_with={"torch": "99"}))
    assert found.inputs == ("the weights are others (code, were code)",)
    assert not found.explained


def test_a_field_that_differs_is_named(then):
    found = compare(then, changed(then, family="attention"))
    assert found.fields == (("family", then.manifest.family, "attention"),)
    assert compare(then, changed(then, scheme_reason="as asked")).identical


def test_what_the_manifest_has_no_path_for_must_be_named(then, tmp_path):
    with pytest.raises(RequestError) as refused:
        recipe_of(then)
    assert refused.value.hint.startswith("--calibration DIR")
    recipe = recipe_of(then, calibration="photos")
    assert (recipe.model, recipe.weights, recipe.calibration) == ("py:nets:tiny", "auto", "photos")
    for source, model, flag in (("trained", "shoes", "--model RUN"), ("file", "resnet18", "--weights FILE")):
        weights = msgspec.structs.replace(then.manifest.weights, source=source)
        with pytest.raises(RequestError) as refused:
            recipe_of(changed(then, weights=weights, recipe=then.manifest.recipe | {"model": model}))
        assert refused.value.hint.startswith(flag)
    lost = shutil.copytree(then.folder, tmp_path / "lost")
    done = CliRunner().invoke(command, [str(lost)])
    assert done.exit_code == 2
    assert "try: --calibration DIR" in done.output
    assert CliRunner().invoke(command, [str(tmp_path / "nowhere")]).exit_code == 2

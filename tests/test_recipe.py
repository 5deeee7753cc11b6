from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import RecipeError, UnsupportedError
from edgekit.recipe import SCHEMES, Quantize, Recipe, check, check_scheme, dump, load


@given(
    st.builds(
        Recipe,
        model=st.text(min_size=1, max_size=20),
        target=st.sampled_from(["tflite", "torch"]),
        samples=st.integers(1, 9999),
        softmax=st.booleans(),
        fold=st.just(True),
        crop_pct=st.none() | st.floats(0.1, 1),
        input_size=st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999)),
        std=st.none() | st.tuples(*[st.floats(0.01, 1)] * 3),
        labels=st.none() | st.text(min_size=1, max_size=9),
        quantize=st.builds(Quantize, scheme=st.sampled_from(SCHEMES[1:]), keep_float=st.just(("a.*", 'quo"te\\d'))),
    )
)
def test_a_dumped_recipe_loads_as_itself(tmp_path_factory, recipe):
    path = tmp_path_factory.mktemp("recipe") / "r.toml"
    path.write_text(dump(recipe), "utf-8")
    assert load(path) == recipe


def test_defaults_are_left_out():
    assert dump(Recipe(model="mobilenetv2", target="tflite")) == 'model = "mobilenetv2"\ntarget = "tflite"\n'


def test_the_digest_follows_the_content():
    a = Recipe(model="m", target="tflite")
    assert a.digest() == Recipe(model="m", target="tflite", samples=128).digest()
    assert a.digest() != Recipe(model="m", target="tflite", samples=129).digest()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('model = "m"\ntarget = "tflite"\n[quantize]\nschme = "fp16"\n', "schme"),
        ('model = "m"\ntarget = "tflite"\n[quantize]\nscheme = "int9"\n', "int9"),
        ('model = "m"\n', "target"),
        ("model = ", "r.toml"),
        ('model = "m"\ntarget = "tflite"\nsamples = 0\n', "samples"),
        ('model = "m"\ntarget = "tflite"\nfold = false\ninput = "uint8"\n', "--no-fold"),
        ('model = "m"\ntarget = "tflite"\nmean = [123.0, 116.0, 103.0]\n', "mean 123 is not on the 0..1 scale"),
        ('model = "m"\ntarget = "tflite"\nmean = [nan, 0.5, 0.5]\n', "mean nan"),
        ('model = "m"\ntarget = "tflite"\nmean = [0.5, 0.5, -0.5]\n', "mean -0.5"),
        ('model = "m"\ntarget = "tflite"\nstd = [58.0, 57.0, 57.0]\n', "std 58 is not on the 0..1 scale"),
        ('model = "m"\ntarget = "tflite"\nstd = [0.5, inf, 0.5]\n', "std inf"),
        ('model = "m"\ntarget = "tflite"\nstd = [-0.5, 1.0, 1.0]\n', "std -0.5"),
        ('model = "m"\ntarget = "tflite"\nseed = -1\n', "seed is -1"),
        ('model = "m"\ntarget = "tflite"\nseed = 9223372036854775808\n', "seed"),
        ('model = "m"\ntarget = "tflite"\nsamples = -3\n', "samples is -3"),
        ('model = "m"\ntarget = "tflite"\ninput_size = [224, 0]\n', "224x0 pixels"),
        ('model = "m"\ntarget = "tflite"\ncrop_pct = 87.5\n', "crop_pct is 87.5"),
        ('model = "m"\ntarget = "tflite"\ncrop_pct = nan\n', "crop_pct is nan"),
        ('model = "m"\ntarget = "tflite"\ninput_size = [224224, 224]\n', "224224x224 pixels"),
        ('model = "m"\ntarget = "tflite"\nweights = ""\n', "weights is empty"),
        ('model = ""\ntarget = "tflite"\n', "model is empty"),
        ('model = "m"\ntarget = "tflite"\nstd = [0.0, 1.0, 1.0]\n', "std is 0"),
        ('model = "m"\ntarget = "tflite"\n[quantize]\nkeep_float = ["a"]\n', "nothing to keep"),
        ('model = "m"\ntarget = "tflite"\n[quantize]\nscheme = "fp16"\ngranularity = "tensor"\n', "means nothing"),
        ('model = "m"\ntarget = "tflite"\n[quantize]\nscheme = "fp16"\nkeep_float = ["("]\n', "regular expression"),
    ],
)
def test_a_wrong_recipe_says_where(tmp_path, text, says):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=says) as caught:
        load(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ('model = "m"\n\n[quantise]\nscheme = "fp16"\n', "line 3: unknown field 'quantise'", "did you mean quantize"),
        ('model = "m"\ntraget = "onnx"\n', "line 2: unknown field 'traget'", "did you mean target"),
        (
            'model = "m"\nscheme = 1\n[quantize]\nscheme = "fp16"\n',
            "line 2: unknown field 'scheme'",
            "did you mean scheme",
        ),
        ('model = "m"\ntarget = "tflite"\nzzz = 1\n', "line 3: unknown field 'zzz'", "export_recipes/README.md"),
        ('model = "m"\ntarget = "tflite"\nsamples = "a"\n', "line 3: samples: Expected `int`", "export_recipes/"),
        (
            'model = "m"\ntarget = "tflite"\n[quantize]\nscheme = "int9"\n',
            "line 4: quantize.scheme: Invalid enum value 'int9'",
            "schemes: fp32",
        ),
        (
            'model = "m"\ntarget = "tflite"\nquantize.scheme = "int9"\n',
            "r.toml: quantize.scheme: Invalid",
            "schemes: fp32",
        ),
    ],
)
def test_a_wrong_field_is_told_with_its_line_and_what_was_meant(tmp_path, text, says, hint):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "r.toml")
    assert says in caught.value.message
    assert caught.value.hint.startswith(hint)


def test_a_recipe_that_comes_with_edgekit_is_found_by_name_and_a_file_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = Path("mobilenetv2-tflite-int8.toml")
    assert load(name).model == load(Path(name.stem)).model == "mobilenetv2"
    name.write_text('model = "mine"\ntarget = "onnx"\n')
    assert load(name).model == "mine"
    with pytest.raises(RecipeError, match="there is no recipe mobilnetv2-tflite-int8") as caught:
        load(Path("mobilnetv2-tflite-int8"))
    assert "did you mean mobilenetv2-tflite-int8" in caught.value.hint


def test_a_missing_recipe_is_a_request_error(tmp_path):
    with pytest.raises(RecipeError, match=r"there is no recipe"):
        load(tmp_path / "none.toml")


def test_a_scale_of_0_to_255_is_told_how_to_mend_it():
    with pytest.raises(RecipeError) as caught:
        check(Recipe(model="m", target="tflite", std=(58, 57, 57)))
    assert caught.value.hint == "divide by 255"


def test_the_edges_of_what_a_recipe_may_hold():
    check(Recipe(model="m", target="tflite", mean=(0, 0.5, 1), std=(1, 1, 1 / 255), seed=2**63 - 1, samples=1))


def test_a_recipe_that_cannot_be_read_says_so_in_one_line(tmp_path):
    with pytest.raises(RecipeError, match=r": Is a directory(?: [(]|$)"):
        load(tmp_path)


def test_a_target_refuses_schemes_it_cannot_hold():
    recipe = check(Recipe(model="m", target="torch", quantize=Quantize(scheme="int8-static")))
    with pytest.raises(UnsupportedError, match="int8-static") as caught:
        check_scheme(recipe, frozenset({"fp32"}))
    assert caught.value.hint == "--scheme fp32"


@pytest.mark.parametrize(
    ("scheme", "fold", "asked", "gets"),
    [
        ("int8-static", True, "auto", "uint8"),
        ("int8-static", False, "auto", "float32"),
        ("fp32", True, "auto", "float32"),
        ("int8-dynamic", True, "uint8", "uint8"),
    ],
)
def test_the_input_contract(scheme, fold, asked, gets):
    recipe = Recipe(model="m", target="tflite", quantize=Quantize(scheme=scheme), fold=fold, input=asked)
    assert recipe.input_type == gets

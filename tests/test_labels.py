"""Names of classes, in whatever form training tools leave them."""

import json
from importlib.util import find_spec

import pytest

from edgekit.data.labels import read_names
from edgekit.errors import DataError

TWO = ("cat", "big dog")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "cat\nbig dog\n"),
        ("a.txt", "\ufeff cat  \r\n big dog\t\r\n\r\n \r\n"),
        ("a.txt", "0 cat\n1 big dog\n"),
        ("a.txt", "0: cat\n1: big dog\n"),
        ("a.txt", "0:cat\n1:big dog\n"),
        ("a.txt", "0\tcat\n1\tbig dog"),
        ("a.txt", "1. cat\n2. big dog"),
        ("a.txt", "0 - cat\n1 - big dog"),
        ("a.txt", "1 big dog\n0 cat"),
        ("a.csv", "0,cat\n1,big dog\n"),
        ("a.csv", "id,name\n0,cat\n1,big dog\n"),
        ("a.csv", 'class_name,class_id\n"cat",0\n"big dog",1\n'),
        ("a.csv", "cat;0\nbig dog;1\n"),
        ("a.csv", "index,wnid,name\n1,n02084071,big dog\n0,n02123045,cat\n"),
        ("a.csv", "label\ncat\nbig dog\n"),
        ("a.txt", "n02123045 cat\nn02084071 big dog"),
        ("a.json", json.dumps(TWO)),
        ("a.json", json.dumps({"0": "cat", "1": "big dog"})),
        ("a.json", json.dumps({"1": "big dog", "0": "cat"})),
        ("a.json", json.dumps({"cat": 0, "big dog": 1})),
        ("a.json", json.dumps({"model_type": "vit", "id2label": {"0": "cat", "1": "big dog"}, "label2id": {}})),
        ("a.json", json.dumps({"label2id": {"big dog": 1, "cat": 0}})),
        ("a.json", json.dumps({"names": TWO, "nc": 2})),
        ("a.json", json.dumps({"categories": [{"id": 2, "name": "big dog"}, {"id": 1, "name": "cat"}]})),
        ("a.json", json.dumps({"0": ["n02123045", "cat"], "1": ["n02084071", "big dog"]})),
        ("a.txt", json.dumps(TWO)),
        ("a.txt", "{0: 'cat',\n 1: 'big dog'}"),
    ],
)
def test_forms(tmp_path, name, text):
    (tmp_path / name).write_text(text, "utf-8", newline="")
    found = read_names(tmp_path / name)
    assert found.names == TWO
    assert found.said("a").startswith("2 labels of a, 'cat' to 'big dog'")


@pytest.mark.both
@pytest.mark.parametrize(
    "text",
    [
        "names:\n  0: cat\n  1: big dog\n",
        "path: x\ntrain: images\nnc: 2\nnames: [cat, big dog]",
        "- cat\n- big dog\n",
        "names:\n- cat\n- big dog\n",
        "cat: 0\nbig dog: 1\n",
    ],
)
def test_yaml(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text, "utf-8")
    if find_spec("yaml"):
        assert read_names(tmp_path / "data.yaml").names == TWO
        (tmp_path / "no.yml").write_text("names: [yes, no, 3]", "utf-8")
        assert read_names(tmp_path / "no.yml").names == ("yes", "no", "3")
    else:
        with pytest.raises(DataError, match="not installed") as caught:
            read_names(tmp_path / "data.yaml")
        assert caught.value.hint == "pip install pyyaml, or .json"


@pytest.mark.parametrize(
    "lines",
    [
        "3 doors\n5 doors",
        "tench, Tinca tinca\ngoldfish, Carassius",
        "16:9\n4:3",
        "0.5 mm\n1.0 mm",
        "[none]\ncat",
        "7\n9",
    ],
)
def test_numbers_and_signs_that_belong_to_names_stay(tmp_path, lines):
    (tmp_path / "a.txt").write_text(lines, "utf-8")
    found = read_names(tmp_path / "a.txt")
    assert list(found.names) == lines.split("\n")
    assert not found.how


def test_what_was_done_is_said(tmp_path):
    (tmp_path / "a.txt").write_text("2: dog\n1: cat\n", "utf-8")
    assert (
        read_names(tmp_path / "a.txt").said("a.txt")
        == "2 labels of a.txt, 'cat' to 'dog' (sorted by number, counted from 1)"
    )


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"0,cat\n2,dog\n", "numbers of 2 classes do not count them: they run from 0 to 2"),
        (b"0 cat\n0 dog\n", "0 stands there twice"),
        (b"0 cat\n5 dog\n", "they run from 0 to 5"),
        (b'{"3": "cat", "4": "dog"}', "they run from 3 to 4"),
        (b'{"a": "cat"}', "no names of classes under a"),
        (b'{"0": {"x": 1}}', "dict stands where the name"),
        (b'{"0": true, "1": null}', "bool stands where"),
        (b"{broken", "not JSON"),
        (b"[" * 100_000, "nested too deep|not JSON"),
        (b"cat\n\ndog\n", "name of class 1 is empty"),
        (b"cat\n\x1b[2Jdog\n", "class 1 holds control characters"),
        (b"cat\nd\0g\n", "control characters"),
        (b"", "empty|no names"),
        (b"caf\xe9\n", "not UTF-8"),
        ("cat\ndog".encode("utf-16"), "is UTF-16, not UTF-8"),
        (b'{"0": "cat", "0": "dog"}', "'0' stands in it twice"),
        (b"names:\n  0: cat\n", "no list of names: there is 'names:' in it"),
        (b"item {\n  id: 1\n}", "there is 'item {' in it"),
        (b"id,name\n0,cat\n4,dog\n", "they run from 0 to 4"),
        (b'"' + b"a" * 200_000, "field larger"),
        (b'["a", ["b"]]', "list stands where"),
    ],
)
def test_what_is_no_list_of_names_is_refused_in_a_line(tmp_path, blob, says):
    for name in ("a.txt", "a.csv"):
        (tmp_path / name).write_bytes(blob)
        with pytest.raises(DataError, match=says) as caught:
            read_names(tmp_path / name, "--classes")
        assert caught.value.message.isprintable()
        assert caught.value.hint.startswith("--classes FILE: one class name per line")

"""The zoo's tables are made of its rows, not written; the rows are of networks that there are."""

import msgspec
import pytest
import zoo as the_zoo

from edgekit import zoo

ROWS = [row for cpu_class in the_zoo.classes() for row in the_zoo.rows(cpu_class)]


def test_the_summary_in_readme_is_that_of_the_rows():
    readme = the_zoo.README.read_text("utf-8")
    assert the_zoo.with_summary(readme) == readme, "python benchmarks/zoo.py --page"


@pytest.mark.parametrize("cpu_class", the_zoo.classes())
def test_a_table_is_that_of_its_rows(cpu_class):
    kept = (the_zoo.RESULTS / f"zoo-{cpu_class}.md").read_text("utf-8")
    assert kept == the_zoo.page(cpu_class), "python benchmarks/zoo.py --page"


def test_every_row_is_of_the_list_and_says_what_it_is():
    for row in ROWS:
        assert row.network in the_zoo.NETWORKS
        assert row.failed or row.time
        assert row.failed or len(row.input.split("x")) == (3 if row.network.partition("@")[0] in the_zoo.CLIPS else 2)
        assert not row.failed or any(file.error for file in (row.fp32, row.int8)) or row.trouble


def test_the_zoo_has_every_alias():
    names = {name.partition("@")[0] for name in the_zoo.NETWORKS}
    assert set(zoo.ALIASES) <= names
    assert set(the_zoo.KNOWN) <= names


def test_a_row_of_trained_weights_is_not_made_again_with_random_ones(monkeypatch):
    monkeypatch.setattr("zoo.host.cpu_class", lambda: "x86-vnni")
    monkeypatch.delattr("zoo.cells.make")
    row = the_zoo.make("lenet5", "tflite", "", count=False, again=False)
    assert row.weights == "lenet5_mnist.pt"


def test_a_row_that_failed_stands_there_with_its_reason():
    row = msgspec.structs.replace(ROWS[0], int8=the_zoo.File("int8", error="no operator Foo | in features.3"))
    text = the_zoo.table(the_zoo.COLUMNS, [the_zoo.columns(row)])
    assert "**int8: no operator Foo \\| in features.3**" in text
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines()}) == 1

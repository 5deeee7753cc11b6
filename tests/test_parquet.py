"""Parquet files of the Hugging Face hub. pyarrow is in the environment that has everything."""

import json
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from edgekit.data import open_data
from edgekit.errors import DataError

pytestmark = pytest.mark.full
LABELS = ["cat", "ant", "bee"]


def encoded(value):
    out = BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(out, "png")
    return out.getvalue()


def write(path, values, labels, features=True):
    path.parent.mkdir(exist_ok=True)
    pictures = [{"bytes": encoded(v), "path": f"{v}.png"} for v in values]
    table = pa.table({"image": pictures, "label": labels})
    if features:
        info = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["ant", "bee", "cat"]}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pyarrow.parquet.write_table(table, path, row_group_size=3)


def test_images_of_several_files_by_the_names_of_their_classes(tmp_path):
    write(tmp_path / "data/test-00000-of-00002.parquet", range(0, 40), [i % 3 for i in range(40)])
    write(tmp_path / "data/test-00001-of-00002.parquet", range(40, 44), [0, 1, 2, -1])
    write(tmp_path / "data/train-00000-of-00001.parquet", [200], [0])
    data = open_data(tmp_path, LABELS)
    assert len(data) == 43  # one has no label
    chosen = [0, 2, 39, 40, 42]
    read = list(data.read(chosen))
    assert [int(np.asarray(p.open())[0, 0, 0]) for p in read] == chosen
    assert [LABELS[p.truth[0]] for p in read] == ["ant", "cat", "ant", "ant", "cat"]
    assert len(open_data(tmp_path, LABELS, split="train")) == 1


def test_numbers_where_no_names_are_given(tmp_path):
    write(tmp_path / "test.parquet", [1, 2], [2, 0], features=False)
    assert [p.truth for p in open_data(tmp_path, LABELS).read([0, 1])] == [(2,), (0,)]


def test_what_holds_no_images_is_refused(tmp_path):
    (tmp_path / "test.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"[Pp]arquet"):
        open_data(tmp_path, LABELS)
    pyarrow.parquet.write_table(pa.table({"text": ["a"], "label": [0]}), tmp_path / "test.parquet")
    with pytest.raises(DataError, match="no column of images, but text, label"):
        open_data(tmp_path, LABELS)


def test_what_was_read_is_let_go(tmp_path):
    """A pass over a file leaves nothing of it in memory, however often images are asked for."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 100, 100, 3), dtype=np.uint8)
    table = pa.table({"image": [{"bytes": pixels.tobytes()} for pixels in noise], "label": [0] * 60})
    pyarrow.parquet.write_table(table, tmp_path / "test.parquet", row_group_size=5)
    del table
    data, before = open_data(tmp_path, LABELS), pa.total_allocated_bytes()
    for _ in data.read([59]):
        pass
    assert pa.total_allocated_bytes() - before < noise.nbytes / 2

"""Images with boxes: four forms that hold the same, and what is refused."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from edgekit.data import open_boxes, open_data, open_splits
from edgekit.data.boxes import boxed_in
from edgekit.data.masks import masked_in
from edgekit.errors import DataError

LABELS = ("cat", "dog", "traffic light")
# Of two images of 80 x 60 pixels: x1 y1 x2 y2 and a class; the third shows nothing.
THINGS = {
    "a.png": [((8, 6, 40, 30), "dog"), ((0, 0, 80, 60), "cat")],
    "b.png": [((20, 15, 24, 45), "traffic light")],
    "c.png": [],
}


def pictures(folder: Path, exif=None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(THINGS):
        picture = Image.new("RGB", (80, 60), (40 * number, 90, 20))
        data = picture.getexif()
        if exif:
            data[0x0112] = exif
        picture.save(folder / name, exif=data)


def document(things=THINGS, **more):
    names = sorted(LABELS)
    images = [{"id": 7 + i, "file_name": name, "width": 80, "height": 60} for i, name in enumerate(things)]
    notes = []
    for image in images:
        for (x1, y1, x2, y2), name in things[image["file_name"]]:
            form = {
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": 0.5 * (x2 - x1) * (y2 - y1),
                "iscrowd": int(name == "cat"),
            }
            notes.append({"id": len(notes), "image_id": image["id"], "category_id": 10 + names.index(name), **form})
    categories = [{"id": 10 + i, "name": name} for i, name in enumerate(names)]
    return {"images": images, "annotations": notes, "categories": categories} | more


def coco(folder, **more):
    pictures(folder / "val2017")
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(document(**more)))
    (folder / "annotations/captions_val2017.json").write_text('{"images": [], "annotations": [{"caption": "a cat"}]}')


def roboflow(folder):
    pictures(folder / "valid")
    (folder / "valid/_annotations.coco.json").write_text(json.dumps(document()))


def yolo(folder, *, names="cat\ndog\ntraffic light\n", lines=None):
    pictures(folder / "images/val")
    (folder / "labels/val").mkdir(parents=True)
    for name, things in THINGS.items():
        rows = [
            f"{LABELS.index(label)} {(x1 + x2) / 160} {(y1 + y2) / 120} {(x2 - x1) / 80} {(y2 - y1) / 60}"
            for (x1, y1, x2, y2), label in things
        ]
        if rows:
            (folder / "labels/val" / name).with_suffix(".txt").write_text("\n".join(lines or rows))
    if names:
        (folder / "classes.txt").write_text(names)


def outlines(folder):
    line = "1 0.1 0.1 0.5 0.1 0.5 0.5"
    yolo(folder, lines=[line, "0 0 0 1 0 1 1 0 1"])


def voc(folder):
    pictures(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    (folder / "ImageSets/Main").mkdir(parents=True)
    (folder / "ImageSets/Main/val.txt").write_text("a\nb\nc\n")
    for name, things in THINGS.items():
        objects = "".join(
            f"<object><name>{label}</name><difficult>{int(label == 'cat')}</difficult><bndbox><xmin>{x1 + 1}</xmin>"
            f"<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for (x1, y1, x2, y2), label in things
        )
        text = f"<annotation><size><width>80</width><height>60</height></size>{objects}</annotation>"
        (folder / "Annotations" / name).with_suffix(".xml").write_text(text)


def beside(folder):
    voc(folder)
    for file in [*folder.glob("Annotations/*"), *folder.glob("JPEGImages/*")]:
        file.rename(folder / file.name)
    (folder / "Annotations").rmdir()


def rows(folder):
    pictures(folder / "val")
    lines = [
        {
            "file_name": name,
            "objects": {
                "bbox": [[x1, y1, x2 - x1, y2 - y1] for (x1, y1, x2, y2), _ in things],
                "categories": [label for _, label in things],
                "iscrowd": [int(label == "cat") for _, label in things],
            },
        }
        for name, things in THINGS.items()
    ]
    (folder / "val/metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))


def read(folder, labels=LABELS, **how):
    data = open_boxes(folder, labels, **how)
    return data, {Path(p.name).name: p.objects(p.open().size) for p in data.read(data.positions)}


@pytest.mark.parametrize("kind", [coco, roboflow, yolo, voc, beside, rows])
def test_every_form_holds_the_same(tmp_path, kind):
    kind(tmp_path)
    data, found = read(tmp_path)
    for name, things in THINGS.items():
        corners = [float(corner) for box, _ in things for corner in box]
        assert found[name].boxes.ravel().tolist() == pytest.approx(corners)
        assert found[name].labels.tolist() == [LABELS.index(label) for _, label in things]
        crowds = [label == "cat" and kind is not yolo for _, label in things]
        assert found[name].crowd.tolist() == crowds
        halves = 0.5 if kind in (coco, roboflow) else 1
        sizes = [halves * (x2 - x1) * (y2 - y1) for (x1, y1, x2, y2), _ in things]
        assert found[name].area.tolist() == pytest.approx(sizes)
    assert data.labelled
    assert any("1 of 3 images have no box" in note for note in data.notes)
    assert set(boxed_in(tmp_path)) == ({""} if kind is beside else {"val"})
    assert open_boxes(tmp_path, None).classes == (LABELS if kind is not voc else tuple(sorted(LABELS)))


def test_the_box_of_an_outline_is_what_it_spans(tmp_path):
    outlines(tmp_path)
    _, found = read(tmp_path)
    assert found["a.png"].boxes.tolist() == [[8, 6, 40, 30], [0, 0, 80, 60]]


def test_boxes_of_other_classes_and_images_that_are_not_there_are_left_out(tmp_path):
    coco(tmp_path)
    (tmp_path / "val2017/b.png").unlink()
    data, found = read(tmp_path, ("Dog", "bird"))
    assert [objects.labels.tolist() for objects in found.values()] == [[0], []]
    said = "\n".join(data.notes)
    assert "1 of 3 images that instances_val2017.json names are not there" in said
    assert "1 of 2 boxes are of none of the model's classes: left out (cat)" in said
    assert "1 of 2 classes have no box and do not count: bird" in said


def test_numbers_without_names_count_the_models_classes(tmp_path):
    yolo(tmp_path, names="")
    _, found = read(tmp_path)
    assert found["b.png"].labels.tolist() == [2]
    assert open_boxes(tmp_path, None).classes == ("0", "1", "2")
    with pytest.raises(DataError, match="class number 2, but the model has 2 classes"):
        open_boxes(tmp_path, LABELS[:2])


@pytest.mark.parametrize("exif", [1, 3, 6])
def test_boxes_are_of_the_image_as_it_is_shown(tmp_path, exif):
    yolo(tmp_path)
    pictures(tmp_path / "images/val", exif)
    _, found = read(tmp_path)
    width = 60 if exif == 6 else 80
    assert found["a.png"].boxes[0, 0] == pytest.approx(width / 10)
    coco(tmp_path / "other")
    pictures(tmp_path / "other/val2017", exif)
    if exif == 6:
        with pytest.raises(DataError, match="boxes were drawn on 80 x 60 pixels, and as it is shown it has 60 x 80"):
            read(tmp_path / "other")
    else:
        read(tmp_path / "other")


def test_masks_of_the_same_names_are_not_taken_for_the_photographs(tmp_path):
    voc(tmp_path)
    pictures(tmp_path / "SegmentationClass")
    data, _ = read(tmp_path)
    assert {Path(picture.name).parent.name for picture in data.read(data.positions)} == {"JPEGImages"}


def test_boxes_of_images_that_are_not_named_are_said(tmp_path):
    coco(tmp_path, images=document()["images"][:1])
    assert "1 boxes in instances_val2017.json are of images that it does not name: left out" in read(tmp_path)[0].notes


def test_numbers_of_classes_have_an_end(tmp_path):
    yolo(tmp_path, names="", lines=["999999999 0.5 0.5 0.1 0.2"])
    with pytest.raises(DataError, match="class number 999999999, and without names at most 10,000"):
        open_boxes(tmp_path, None)


@pytest.mark.both
def test_the_joints_of_a_pose_are_not_its_outline(tmp_path):
    yolo(tmp_path, names="", lines=["0.000 0.5 0.5 0.5 0.5 0.1 0.1 0.9 0.9"])
    assert read(tmp_path)[1]["a.png"].boxes.tolist() == [[8, 6, 72, 54]]
    (tmp_path / "data.yaml").write_text("kpt_shape: [2, 2]\nnames: [cat, dog]\n")
    if not find_spec("yaml"):
        with pytest.raises(DataError, match="not installed"):
            read(tmp_path)
        return
    assert read(tmp_path)[1]["a.png"].boxes.tolist() == [[20, 15, 60, 45]]


def test_cocos_json_as_other_tools_write_it(tmp_path):
    """Sizes as fractions, crowds as true and null, names of images for numbers, paths of Windows."""
    images = [{"id": "a", "file_name": r".\val2017\a.png", "width": 80.0, "height": 60.0}]
    annotations = [
        {"image_id": "a", "category_id": 10, "bbox": [x, 0, 8, 8], "iscrowd": crowd, "area": None}
        for x, crowd in ((0, True), (8, None), (16, False))
    ]
    coco(tmp_path, images=images, annotations=annotations)
    found = read(tmp_path)[1]["a.png"]
    assert found.crowd.tolist() == [True, False, False]
    assert found.area.tolist() == [64, 64, 64]


def test_a_file_in_place_of_its_folder_says_which_one(tmp_path):
    coco(tmp_path)
    with pytest.raises(DataError, match="is a file, and a folder is wanted") as error:
        open_boxes(tmp_path / "annotations/instances_val2017.json", LABELS)
    assert error.value.hint == f"the folder that holds it and the images: {tmp_path}"
    with pytest.raises(DataError, match="no images in") as error:
        open_boxes(tmp_path / "annotations", LABELS)
    assert error.value.hint == f"the folder that holds the images too: {tmp_path}"
    yolo(tmp_path / "yolo")
    with pytest.raises(DataError, match="images holds no boxes") as error:
        open_boxes(tmp_path / "yolo/images", LABELS)
    assert error.value.hint == f"--data {tmp_path}/yolo, which does"
    for inside, data in (("yolo/images/val", tmp_path / "yolo"), ("val2017", tmp_path)):
        with pytest.raises(DataError, match="nothing says what is on the images of") as error:
            open_splits(tmp_path / inside)
        assert error.value.hint == f"--data {data}, which says it"
    (tmp_path / "coco.zip").touch()
    with pytest.raises(DataError) as error:
        open_data(tmp_path / "coco.zip", LABELS)
    assert error.value.hint == "unpack it, and name the folder"


def copied(folder, name):
    (folder / "annotations" / name).write_text(json.dumps(document()))


def thing(**more):
    return {"image_id": 7, "category_id": 10, "bbox": [1, 1, 8, 8], **more}


def twice(file):
    file.write_text(2 * (file.read_text() + "\n"))


SIZED = "<a><size><width>{}</width><height>60</height></size></a>"


def things(box, label="cat"):
    return {"things": THINGS | {"b.png": [(box, label)]}}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: coco(f, **things((70, 10, 90, 20))), r"b.png has a box outside the image \(80 x 60 pixels\): 70 10 90 20"),
        (lambda f: coco(f, **things((30, 10, 20, 20))), "b.png has a box that ends before it begins: 30 10 20 20"),
        (lambda f: coco(f, annotations=[thing(area=-5)]), "a.png has a box around a thing of -5 pixels"),
        (lambda f: coco(f, categories=[]), "has no categories, so nothing says what its numbers mean"),
        (lambda f: coco(f, categories=[{"id": 10, "name": "cat"}]), "a box of category 11, which is none of its categories"),
        (lambda f: coco(f, annotations=[{"image_id": 7}]), "is not COCO's JSON: Object missing required field"),
        (lambda f: coco(f, annotations=[]), r"there is no box on the images in .* \(COCO JSON\)"),
        (lambda f: yolo(f, names="cat\n"), r"line 1 is of class 1, and there are names of 1, 0 to 0"),
        (lambda f: yolo(f, lines=["0 0.5 0.5 1.2 0.2"]), r"a box outside the image \(of which 1 is the whole\)"),
        (lambda f: yolo(f, lines=["0 0.5 0.5 -0.1 0.2"]), "ends before it begins"),
        (lambda f: yolo(f, lines=["0 320 240 50 50"]), "outside the image"),
        (lambda f: yolo(f, lines=["0 0.5 0.5 0.1 0.2 0.9"]), "line 1 is no box"),
        (lambda f: yolo(f, lines=["cat 0.5 0.5 0.1 0.2"]), "line 1 is no box"),
        (lambda f: yolo(f, lines=["0 0.5 nan 0.1 0.2"]), "not of numbers"),
        (lambda f: pictures(f / "images"), "holds no boxes"),
        (lambda f: (voc(f), (f / "Annotations/a.xml").write_text("<a><object>")), "a.xml is not XML"),
        (lambda f: (voc(f), (f / "Annotations/a.xml").write_text("<a><object/></a>")), "an object without a name"),
        (lambda f: (voc(f), (f / "Annotations/a.xml").write_text("<!DOCTYPE a><a/>")), "declares entities"),
        (lambda f: (rows(f), (f / "val/metadata.jsonl").write_text('{"bbox": 1}')), "metadata.jsonl: Object missing"),
        (lambda f: coco(f, images=[]), "instances_val2017.json names no images"),
        (lambda f: coco(f, images=document()["images"] * 2), "has 2 times the image 7"),
        (lambda f: coco(f, categories=document()["categories"] * 2), "has 2 times the category 10"),
        (lambda f: (coco(f), copied(f, "instances_val2014.json")), "val2014.json and .*2017.json hold boxes of the same split"),
        (lambda f: yolo(f, lines=["9" * 5000 + " 0.5 0.5 0.1 0.2"]), "line 1 is no box"),
        (lambda f: (voc(f), (f / "Annotations/a.xml").write_text(SIZED.format("nan"))), "a.xml says size/width 'nan'"),
        (lambda f: (voc(f), (f / "Annotations/a.xml").write_text(SIZED.format("1e999"))), "a.xml says size/width '1e999'"),
        (lambda f: (voc(f), (f / "ImageSets/Main/val.txt").write_bytes(b"\xff")), "val.txt cannot be read: not UTF-8"),
        (lambda f: (voc(f), (f / "ImageSets/Main/val.txt").write_text("z")), "val.txt names none of the 3 XML files"),
        (lambda f: (beside(f), pictures(f / "masks")), "a.xml is of a.png or of masks/a.png"),
        (lambda f: yolo(f, lines=["0 0.5 0.5 0.1 0.2 0.5 0.5 2 0.5 0.5 2 0.5 0.5 2"]), "line 1 is no box"),
        (lambda f: coco(f, images=[{"id": 7, "file_name": "a.png", "width": -3, "height": -2}]), "`float` >= 0"),
        (lambda f: coco(f, images=[{"id": 7, "file_name": "../a.png"}]), "none of the 1 images that .* names is in"),
        (lambda f: (rows(f), twice(f / "val/metadata.jsonl")), "has 2 times the image 'a.png'"),
        (lambda f: (voc(f), (f / "Annotations/a.xml").write_text("<!DOCTYPE a><a/>", "utf-16")), "declares entities"),
        (lambda f: (voc(f), (f / "Annotations/a.xml").write_text("<a>caf&eacute;</a>")), "not XML: undefined entity"),
        (lambda f: (voc(f), (f / "Annotations/a.xml").write_text(SIZED.format("9" * 400))), "says size/width '9{30,39}(?!9)"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_refused_in_a_line(tmp_path, make, says):
    make(tmp_path)
    with pytest.raises(DataError, match=says) as error:
        read(tmp_path)
    assert "\n" not in error.value.message
    assert error.value.hint


def test_a_split_that_is_not_there_is_named(tmp_path):
    yolo(tmp_path)
    with pytest.raises(DataError, match="no split 'test' with boxes"):
        open_boxes(tmp_path, LABELS, split="test")


@pytest.mark.parametrize(
    ("find", "files"),
    [
        (boxed_in, ("images/{}/1.png", "labels/{}/1.txt")),
        (boxed_in, ("{}/images/1.png", "{}/labels/1.txt")),
        (boxed_in, ("{}/1.xml",)),
        (boxed_in, ("{}/metadata.jsonl",)),
        (masked_in, ("images/{}/1.png", "masks/{}/1.png")),
        (masked_in, ("{}/1.png", "{}annot/1.png")),
    ],
)
def test_two_folders_of_one_split_are_refused(tmp_path, find, files):
    for part in ("train2014", "train2017"):
        for name in files:
            path = tmp_path / name.format(part)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    with pytest.raises(DataError, match=r"train2014 and \S*train2017 are both of the split 'train'"):
        find(tmp_path)

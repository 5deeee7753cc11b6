"""Average precision, judged by pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgekit.tasks.average_precision import SIZES, Objects, average_precision, match, mean

pytestmark = pytest.mark.full

AREAS = tuple(SIZES)


def scene(seed, *, pictures=16, classes=6, crowds=True, ties=False):
    """Of each image what is there and what is found: near, doubled, missed, of another label or of nothing. Some are empty."""
    rng = np.random.default_rng(seed)
    scenes = []
    for i in range(pictures):
        n = 0 if i % 5 == 4 else int(rng.integers(1, 9))
        corner, size = rng.uniform(0, 500, (n, 2)), np.exp(rng.uniform(1.5, 5.6, (n, 2)))
        boxes, labels = (
            np.concatenate([corner, corner + size], 1),
            rng.integers(0, classes - 1, n),
        )  # of the last class none
        crowd = (rng.uniform(size=n) < 0.15) & crowds
        truth = Objects(boxes, labels, crowd, size.prod(1) * rng.uniform(0.5, 1, n))
        times = rng.integers(0, 4, n)
        near = np.repeat(boxes, times, 0) + rng.normal(0, 0.06, (times.sum(), 4)) * np.repeat(
            np.tile(size, 2), times, 0
        )
        far = rng.uniform(0, 500, (5, 2))
        found = np.concatenate([near, np.concatenate([far, far + np.exp(rng.uniform(1.5, 5.6, (5, 2)))], 1)])
        names = np.concatenate([np.repeat(labels, times), rng.integers(0, classes, 5)])
        names = np.where(rng.uniform(size=len(names)) < 0.1, rng.integers(0, classes, len(names)), names)
        scores = rng.uniform(0, 1, len(names))
        scenes.append((truth, found, (scores.round(1) if ties else scores).astype(np.float32), names))
    return scenes


def judged(scenes, classes):
    """Precisions [10, classes, 4 sizes] of pycocotools."""
    things, found = [], []
    for i, (truth, boxes, scores, labels) in enumerate(scenes, 1):
        for box, label, crowd, area in zip(truth.boxes, truth.labels, truth.crowd, truth.area, strict=True):
            form = {"bbox": [*box[:2], *(box[2:] - box[:2])], "area": area, "iscrowd": int(crowd)}
            things.append({"id": len(things) + 1, "image_id": i, "category_id": int(label), **form})
        for box, score, label in zip(boxes, scores, labels, strict=True):
            form = {"bbox": [*box[:2], *(box[2:] - box[:2])], "score": float(score)}
            found.append({"image_id": i, "category_id": int(label), **form})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        images = [{"id": i} for i in range(1, len(scenes) + 1)]
        coco.dataset = {"images": images, "annotations": things, "categories": [{"id": c} for c in range(classes)]}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 2]  # [10, 101, classes, sizes]
    return np.where(precision[:, 0] < 0, np.nan, precision.mean(1))


@pytest.mark.parametrize(
    "case",
    [{"seed": 0}, {"seed": 1, "crowds": False}, {"seed": 2, "ties": True}, {"seed": 3, "pictures": 40, "classes": 30}],
)
def test_average_precision_is_that_of_pycocotools(case):
    classes, scenes = case.get("classes", 6), scene(**case)
    judge = judged(scenes, classes)
    matched = [match(boxes, scores, labels, truth, AREAS) for truth, boxes, scores, labels in scenes]
    for size, name in enumerate(AREAS):
        ours = average_precision(matched, classes, size=size)
        assert pytest.approx(judge[:, :, size], abs=1e-9, nan_ok=True) == ours[0].T, name
    precisions = average_precision(matched, classes)
    assert mean(precisions)[0] == pytest.approx(np.nanmean(judge[..., 0]), abs=1e-4)
    assert mean(precisions, 0)[0] == pytest.approx(np.nanmean(judge[0, :, 0]), abs=1e-4)
    assert 0.2 < mean(precisions)[0] < 0.9


def test_an_image_that_is_drawn_twice_counts_twice():
    scenes = scene(5)
    matched = [match(boxes, scores, labels, truth) for truth, boxes, scores, labels in scenes]
    times = np.random.default_rng(0).multinomial(16, np.full(16, 1 / 16), size=3).astype(float)
    drawn = average_precision(matched, 6, times)
    for row, counts in zip(drawn, times.astype(int), strict=True):
        again = [m for m, count in zip(matched, counts, strict=True) for _ in range(count)]
        assert row == pytest.approx(average_precision(again, 6)[0], abs=0.02, nan_ok=True)

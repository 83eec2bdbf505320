from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage

from relora_core.data.images import pack
from relora_core.data.images.prepare import PreparedImages, prepare_images
from relora_core.errors import DataError, DataUnavailable
from relora_core.events import DataPrepared, Event
from relora_core.spec import TrainSpec
from tests.relora_core.data.images.conftest import WriteImages, noise


def make_spec(uri: object, **data: Any) -> TrainSpec:
    return TrainSpec.model_validate(
        {
            "task": "image_classification",
            "model": {"preset": "vit_tiny"},
            "data": {"train": {"uri": str(uri)}, "validation": {"fraction": 0.2}, **data},
            "training": {"steps": 10, "global_batch_size": 4},
        }
    )


def run(spec: TrainSpec, cache: Path) -> tuple[PreparedImages, list[DataPrepared]]:
    events: list[Event] = []
    data = prepare_images(spec, size=8, cache=cache, emit=events.append)
    return data, [event for event in events if isinstance(event, DataPrepared)]


def labels_of(data: PreparedImages) -> list[int]:
    everything = np.arange(len(data.train))
    return data.train.examples(everything, everything).targets.tolist()


def test_both_splits_are_mapped_and_reported(write_images: WriteImages, tmp_path: Path) -> None:
    data, (train, validation) = run(make_spec(write_images(cat=60, dog=40)), tmp_path / "cache")
    assert data.labels == ["cat", "dog"]
    assert (train.images, validation.images) == (len(data.train), len(data.validation[0]))
    assert len(data.train) + len(data.validation[0]) == 100
    assert 10 < len(data.validation[0]) < 30
    assert (train.labels, train.bad_rows, train.reused) == (2, 0, False)
    assert str(train) == f"train data resized: {len(data.train)} images, 2 labels"


def test_the_second_run_finds_it_all_and_reports_the_same(
    write_images: WriteImages, tmp_path: Path
) -> None:
    spec = make_spec(write_images(cat=20, dog=20))
    _, first = run(spec, tmp_path / "cache")
    _, again = run(spec, tmp_path / "cache")
    assert [event.reused for event in (*first, *again)] == [False, False, True, True]
    assert [event.images for event in again] == [event.images for event in first]


def test_images_that_are_replaced_while_they_are_read_are_not_kept(
    write_images: WriteImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_images(cat=2, dog=2)

    def replace(*_: object) -> bool:
        write_images(first=1, cat=2, dog=2)
        return False

    monkeypatch.setattr(pack, "is_held_out", replace)
    with pytest.raises(DataUnavailable, match=f"{root} was changed or replaced while"):
        run(make_spec(root), tmp_path / "cache")
    assert not list((tmp_path / "cache" / "images").glob("*/manifest.json"))


def test_an_image_that_changed_makes_other_data(write_images: WriteImages, tmp_path: Path) -> None:
    root = write_images(cat=20, dog=20)
    run(make_spec(root), tmp_path / "cache")
    write_images(first=90, cat=1)
    _, events = run(make_spec(root), tmp_path / "cache")
    assert not events[0].reused
    assert sum(event.images or 0 for event in events) == 41


def test_duplicates_are_never_on_both_sides(write_images: WriteImages, tmp_path: Path) -> None:
    root = write_images(cat=50, dog=50)
    write_images(cat=0, more_cats=50)  # the very images of the cats
    data, _ = run(make_spec(root, augmentation="none"), tmp_path / "cache")
    sides = [
        {image.tobytes() for image in part.examples(*[np.arange(len(part))] * 2).inputs.numpy()}
        for part in (data.train, data.validation[0].dataset)
    ]
    assert len(sides[0]) + len(sides[1]) == 100
    assert not sides[0] & sides[1]
    assert len(data.train) + len(data.validation[0]) == 150


def test_validation_may_be_a_folder_of_its_own(write_images: WriteImages, tmp_path: Path) -> None:
    train, held = write_images("train", bird=5, cat=5), write_images("held", first=50, cat=7)
    spec = make_spec(f"file://{train}", validation={"uri": str(held)})
    data, _ = run(spec, tmp_path / "cache")
    assert (len(data.train), len(data.validation[0])) == (10, 7)
    batch = data.validation[0].dataset.examples(np.arange(7), np.arange(7))
    assert batch.targets.tolist() == [1] * 7


def test_a_validation_label_that_training_lacks_is_refused(
    write_images: WriteImages, tmp_path: Path
) -> None:
    train, held = write_images("train", bird=5, cat=5), write_images("held", dog=7)
    with pytest.raises(DataError, match="has the label 'dog', which the training data lacks"):
        run(make_spec(train, validation={"uri": str(held)}), tmp_path / "cache")


def test_hidden_files_are_no_images_and_bad_ones_are_reported(
    write_images: WriteImages, tmp_path: Path
) -> None:
    root = write_images(cat=100, dog=100)
    (root / "cat" / ".DS_Store").write_bytes(b"")
    (root / ".cache").mkdir()
    (root / "dog" / "notes.txt").write_text("no image")
    _, (train, validation) = run(make_spec(root), tmp_path / "cache")
    assert (train.bad_rows, validation.bad_rows) == (1, 0)
    assert train.examples[0].startswith(f"{root}/dog/notes.txt: is no image that can be read: can")


def test_more_bad_images_fail_with_counts_and_examples(
    write_images: WriteImages, tmp_path: Path
) -> None:
    root = write_images(cat=10, dog=10)
    for number in range(5):
        (root / "cat" / f"broken{number}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=f"5 of 25 rows of {root} cannot be read.*broken0.png"):
        run(make_spec(root), tmp_path / "cache")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "is no folder .*FOLDER/LABEL/IMAGE.png, and the uri names FOLDER"),
        ({"cat": 0}, "the train data is too small: 0 images, and 4 are needed; add images"),
        ({"cat": 1, "dog": 1}, r"too small: \d images, and 4 are needed; add images or lower"),
        ({"cat": 40}, "all training images of .* have the label 'cat'"),
    ],
)
def test_too_little_data_is_refused_with_advice(
    counts: dict[str, int], message: str, write_images: WriteImages, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        run(make_spec(write_images(**counts)), tmp_path / "cache")


def test_nothing_held_out_is_refused_with_advice(write_images: WriteImages, tmp_path: Path) -> None:
    spec = make_spec(write_images(cat=10, dog=10), validation={"fraction": 1e-9})
    with pytest.raises(DataError, match=r"validation data is too small.*raise data.validation.fr"):
        run(spec, tmp_path / "cache")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A dataset as Hugging Face keeps it, whose classes are not in the order of their names."""
    folder = tmp_path / "hub"
    folder.mkdir()
    features = Features(
        {"img": Image(), "kind": ClassLabel(names=["wolf", "cat", "ape"]), "name": Value("string")}
    )
    rows = {
        "img": [noise(number) for number in range(30)],
        "kind": [number % 2 for number in range(30)],
        "name": ["wolf" if number % 2 == 0 else "cat" for number in range(30)],
    }
    Dataset.from_dict(rows, features=features).to_parquet(folder / "train.parquet")
    return folder


def test_a_dataset_keeps_its_order_of_classes(hub: Path, tmp_path: Path) -> None:
    source = {"uri": f"hf://{hub}", "image_field": "img", "label_field": "kind"}
    spec = make_spec("", train=source, augmentation="none")
    data, (train, validation) = run(spec, tmp_path / "cache")
    assert data.labels == ["wolf", "cat", "ape"]
    assert (train.images or 0) + (validation.images or 0) == 30
    assert set(labels_of(data)) == {0, 1}


def test_a_column_of_text_gives_labels_too(hub: Path, tmp_path: Path) -> None:
    source = {"uri": f"hf://{hub}", "image_field": "img", "label_field": "name"}
    data, _ = run(make_spec("", train=source), tmp_path / "cache")
    assert data.labels == ["cat", "wolf"]


def test_a_column_that_is_not_there_is_told_with_those_that_are(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'image'; it has img, kind, name. Name the rig"):
        run(make_spec(f"hf://{hub}"), tmp_path / "cache")


def test_a_dataset_of_image_files_is_read(write_images: WriteImages, tmp_path: Path) -> None:
    folder = write_images("train", cat=30, dog=30).parent
    data, _ = run(make_spec(f"hf://{folder}/train"), tmp_path / "cache")
    assert data.labels == ["cat", "dog"]


def test_a_row_opens_no_file_outside_of_its_dataset(hub: Path, tmp_path: Path) -> None:
    bait = tmp_path / "bait.png"
    PILImage.fromarray(noise(0)).save(bait)
    rows = [{"image": {"bytes": None, "path": str(bait)}, "label": n % 2} for n in range(30)]
    features = Features({"image": Image(), "label": ClassLabel(names=["a", "b"])})
    table = Dataset.from_list(rows).cast(features)
    (hub / "train.parquet").unlink()
    table.to_parquet(hub / "train.parquet")
    with pytest.raises(DataError, match="holds no image"):
        run(make_spec(f"hf://{hub}"), tmp_path / "cache")

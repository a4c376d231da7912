"""Decoded images in memory: kept as they were, up to the limit, and shared by processes that are forked."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch

from drawn import TINY, configured, draw_data
from drawn_boxes import TINY_BOXES, draw_boxes
from drawn_classes import TINY_CLASSES, draw_classes
from fna.config.files import from_data
from fna.config.resolved import resolved
from fna.config.types import parse_bytes
from fna.data.layouts.opening import open_data
from fna.data.reading.cache import ImageCache
from fna.errors import UserError
from fna.tasks.kinds import TASKS, imported
from fna.tasks.segmentation.task import Segmentation

DRAWN = {"seg": (TINY, draw_data), "det": (TINY_BOXES, draw_boxes), "cls": (TINY_CLASSES, draw_classes)}
IMAGE = torch.arange(3 * 5 * 7, dtype=torch.uint8).view(5, 7, 3).permute(2, 0, 1)
MASK = torch.arange(35, dtype=torch.uint8).view(5, 7)
SIZE = torch.tensor([500, 1 << 40])


def make_task(folder: Path, name: str) -> Any:
    base, draw = DRAWN[name]
    config = resolved(configured(base), name)
    return imported(TASKS[name].task)(config, open_data(draw(folder), name), (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("parts", [(IMAGE,), (IMAGE, MASK), (IMAGE, SIZE), (IMAGE.contiguous(), MASK.T)])
def test_what_is_kept_comes_back(parts: tuple[torch.Tensor, ...]) -> None:
    cache = ImageCache(3, 1000)
    cache.put(2, parts)
    cache.put(0, parts)
    for number in (0, 2):
        found = cache.get(number)
        assert found is not None
        assert len(found) == len(parts)
        assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(found, parts, strict=True))
        assert found[0].stride() == (1, 21, 3)  # channels-last
    assert cache.get(1) is None


def test_a_sample_is_kept_whole_or_not_at_all() -> None:
    both = IMAGE.nbytes + MASK.nbytes
    cache = ImageCache(4, both + IMAGE.nbytes)
    cache.put(0, (IMAGE, MASK))
    cache.put(1, (IMAGE, MASK))
    cache.put(2, (IMAGE,))
    assert [cache.get(number) is not None for number in range(4)] == [True, False, True, False]
    nothing = ImageCache(1, 0)
    nothing.put(0, (IMAGE,))
    assert nothing.get(0) is None


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_a_forked_process_keeps_serves_this_one() -> None:
    cache = ImageCache(2, 1000)
    process = multiprocessing.get_context("fork").Process(target=cache.put, args=(1, (IMAGE, MASK)))
    process.start()
    process.join()
    found = cache.get(1)
    assert found is not None
    assert torch.equal(found[0], IMAGE)
    assert torch.equal(found[1], MASK)


def test_memory_that_the_machine_does_not_give_is_refused_with_the_key() -> None:
    with pytest.raises(UserError, match="set cache to less"):
        ImageCache(1, 1 << 62)


def test_sizes_are_powers_of_1024() -> None:
    sizes = {"0": 0, "123": 123, "2k": 2048, "500M": 500 * 1024**2, "1G": 1 << 30, "1.5g": 3 << 29, "2T": 2 << 40}
    assert {text: parse_bytes(text) for text in sizes} == sizes
    for wrong in ("", "G", "-1G", "1GB", "much", "1e3", "inf"):
        with pytest.raises(UserError, match="is not an amount of memory: write 1G"):
            parse_bytes(wrong)


def test_the_key_is_checked_when_it_is_set() -> None:
    assert [from_data({"cache": given}).cache for given in ("2G", 0, 4096)] == ["2G", "0", "4096"]
    with pytest.raises(UserError, match="cache is 'lots': .*write 1G, 500M"):
        from_data({"cache": "lots"})


@pytest.mark.parametrize("task_name", ["seg", "det", "cls"])
def test_what_one_data_set_of_a_task_has_decoded_serves_the_next(tmp_path: Path, task_name: str) -> None:
    """Parts of the split first, as a search has them, then all of it; and validation after validation."""
    task = make_task(tmp_path, task_name)
    weights, alphas = task.splits()
    augment = task.config.adapt.augment
    parts = [task.training(augment, part, 1) for part in (weights, alphas)]
    first = {id(sample): data.decoded(number) for data in parts for number, sample in enumerate(data.samples)}
    again = task.training(augment, replica=2)
    again._read = lambda sample: pytest.fail("decoded once more")
    for number, sample in enumerate(again.samples):
        pairs = zip(again.decoded(number), first[id(sample)], strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    _ = [task.validation()[number] for number in range(2)]
    val = task.validation()
    val._read = lambda sample: pytest.fail("decoded once more")
    _ = [val[number] for number in range(2)]


def test_a_data_set_that_reads_otherwise_starts_anew(tmp_path: Path) -> None:
    task = make_task(tmp_path, "det")
    without = task.config.adapt.augment.model_copy(update={"ssd": False})
    hows = [without.model_copy(update={"resize": size}) for size in ((48, 48), (32, 32), (48, 48))]
    assert [task.training(how).decoded(0)[0].shape[1:] for how in hows] == [(48, 48), (32, 32), (48, 48)]


def test_every_data_set_of_a_task_keeps_as_much_as_the_key_says(tmp_path: Path) -> None:
    data = open_data(draw_data(tmp_path, 2, 1), "seg")
    config = resolved(configured(TINY, cache="3M"), "seg")
    task = Segmentation(config, data, (0.5,) * 3, (0.5,) * 3)
    assert [part.cache_bytes for part in (task.training(config.adapt.augment), task.validation())] == [3 << 20] * 2

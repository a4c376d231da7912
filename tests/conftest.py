"""Fixtures shared by all tests: one thread, a fixed seed, and the optional folder with real images and weights."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _one_thread_and_a_fixed_seed() -> None:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real images, real weights and reference counts; tests that need it are skipped without it."""
    folder = Path(os.environ.get("FNA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "counts.json").is_file():
        pytest.skip(f"no real data at {folder} (set FNA_SHARED to the folder that has it)")
    return folder

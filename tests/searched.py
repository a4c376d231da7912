"""Search results made by hand, and what two runs have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fna.arch.decision import Decision, size_log10
from fna.config.sections import Search
from fna.search.result import DecisionRecord, SearchResult, read_result
from fna.search.scores import worth


def result_of(decisions: Sequence[Decision], replicas: Sequence[Any], **changes: Any) -> SearchResult:
    """A search of these decisions by swaps whose replicas measured these scores; every option costs its number."""
    found = SearchResult(
        format="fna-search-1",
        strategy="swaps-layer",
        decisions=tuple(DecisionRecord.of(d, {"madds": range(len(d.options))}) for d in decisions),
        size_log10=size_log10(decisions),
        worth=worth(decisions, replicas, Search(caution=0)),
        repeatability=None,
        tried=(),
        verdicts=(),
        wall_seconds=0.0,
    )
    return found.model_copy(update=changes)


def timeless(run: Path) -> SearchResult:
    """What a run's search found, without how long it took."""
    result = read_result(run)
    assert result is not None
    return result.model_copy(update={"wall_seconds": 0.0})

"""The search as a share of the whole adaptation, from the times in finished run folders."""

from benchmarks.rows import Finding, measured, single
from benchmarks.settings import Settings
from fna.report.files import RunFiles
from fna.study.cost import measured as timed_rows

NAME = "search share"
AT_MOST = 10.0
"""Percent. The paper has 4 for segmentation (Table 2) and 65 for RetinaNet (Table 4)."""


def search_share(settings: Settings) -> list[Finding]:
    """A row for every run (or run of a derived architecture, with its search beside it) that has both; none without."""
    rows = []
    for row in timed_rows([RunFiles(run) for run in settings.runs]):
        if row.search_hours is None or row.adapt_hours is None:
            continue
        share = 100 * row.search_hours / row.total_hours
        note = "search / (search + fine-tuning), device time from cost.json; the paper has 4 % and, RetinaNet, 65 %."
        rows.append(measured(NAME, f"{row.name} on {row.device}", "search", single(share), "%", AT_MOST, note))
    return rows

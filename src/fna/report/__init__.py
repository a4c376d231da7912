"""What a run found, as Markdown and figures, read from the run folder's files alone."""

from fna.report.page import write_report
from fna.report.results import results
from fna.report.section import replace_section, section_of

__all__ = ["replace_section", "results", "section_of", "write_report"]

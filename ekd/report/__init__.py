"""The report: what a store holds, as pages and tables, beside what the paper prints."""

from ekd.report.collect import collect
from ekd.report.measured import Measured, SeedRun
from ekd.report.model import Computed, EpochTime, Quoted, Report, Section, Timed
from ekd.report.statistics import Interval, student_interval, wilson_interval
from ekd.report.write import Written, write

__all__ = [
    "Computed",
    "EpochTime",
    "Interval",
    "Measured",
    "Quoted",
    "Report",
    "Section",
    "SeedRun",
    "Timed",
    "Written",
    "collect",
    "student_interval",
    "wilson_interval",
    "write",
]

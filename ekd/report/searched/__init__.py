"""What a search found, as text, as a page and as JSON."""

from ekd.report.searched.gather import gather
from ekd.report.searched.model import Search
from ekd.report.searched.plain import plain
from ekd.report.searched.text import text
from ekd.report.searched.write import write

__all__ = ["Search", "gather", "plain", "text", "write"]

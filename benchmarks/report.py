"""What a section of the benchmark found, for the terminal and for JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Report", "Target"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A figure with what it shall reach."""

    what: str
    value: float
    target: float
    unit: str = "×"
    at_most: bool = False
    """Whether less is better."""

    @property
    def mark(self) -> str:
        """PASS, or on which side of the target it is."""
        if self.at_most:
            return "PASS" if self.value <= self.target else "above"
        return "PASS" if self.value >= self.target else "below"

    def __str__(self) -> str:
        digits = ".0f" if self.unit == "%" else ".2f"
        bound = "at most " if self.at_most else ""
        return (
            f"{self.what}: {self.value:{digits}} {self.unit} "
            f"(target {bound}{self.target:g} {self.unit}) {self.mark}"
        )


@dataclass(kw_only=True)
class Report:
    """One table, notes below it, and the targets it speaks to."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """The numbers behind the rows, for JSON."""

    def print(self, console: Console) -> None:
        """The table, then notes and targets, a line each."""
        table = Table(title=self.title, title_justify="left", title_style="bold")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for note in self.notes:
            console.print(f"  {note}", style="dim", highlight=False)
        for target in self.targets:
            style = "green" if target.mark == "PASS" else "yellow"
            console.print(f"  {target}", style=style, highlight=False)
        console.print()

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings."""
        targets = [{**asdict(target), "mark": target.mark} for target in self.targets]
        return {"title": self.title, "figures": self.figures, "notes": self.notes,
                "targets": targets}  # fmt: skip

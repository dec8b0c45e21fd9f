"""A circuit as a table for the terminal, readable from 80 columns on."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from circuits.drawing.summary import faithfulness_line, metric_line, quoted, signed, size_line
from circuits.graph.circuit import Circuit, Node, strongest
from sae.token_text import readable_token

__all__ = ["render_table"]

POSITIVE, NEGATIVE = "bright_blue", "dark_orange"
CONTRIBUTION_WIDTH, BAR_WIDTH = 7, 7
EIGHTHS = " ▏▎▍▌▋▊▉"
LONGEST_TOKEN = 12


def render_table(circuit: Circuit, *, limit: int = 20) -> Group:
    """What `circuits discover` and `circuits show` print.

    Args:
        circuit: What to show.
        limit: How many features, and how many errors, at most; the strongest.

    Returns:
        A rich renderable: heading, table of features, and a table of errors where there are any.
    """
    largest = max((abs(node.contribution) for node in circuit.nodes), default=0.0) or 1.0
    parts: list[RenderableType] = [_heading(circuit), _table(circuit.features, limit, largest)]
    if circuit.errors:
        parts.append(Text("\nSAE errors: scored, but not counted", style="bold"))
        parts.append(_table(circuit.errors, limit, largest))
    return Group(*parts)


def _heading(circuit: Circuit) -> Text:
    target, foil = quoted(circuit.target), quoted(circuit.foil)
    heading = Text()
    heading.append(target, style=f"bold {POSITIVE}").append(" against ").append(foil, style=f"bold {NEGATIVE}")
    heading.append(f"\n{readable_token(circuit.prompt, length=300)}\n\n")
    heading.append(f"{size_line(circuit)}; {metric_line(circuit)}\n")
    heading.append(f"{faithfulness_line(circuit)}\n", style="bold")
    convention = f"contribution = -indirect_effect, in {circuit.metric.unit}: "
    heading.append(f"{convention}positive supports {target}, negative supports {foil}\n", style="dim")
    return heading


def _table(nodes: Sequence[Node], limit: int, largest: float) -> Table:
    shown = strongest(nodes)[: max(0, limit)]
    rest = len(nodes) - len(shown)
    caption = f"{rest} weaker not shown" if rest else None
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True, caption=caption, caption_justify="left")
    table.add_column("node", no_wrap=True)
    table.add_column("token", no_wrap=True, max_width=LONGEST_TOKEN)
    table.add_column("label", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("F1" if any(node.label_f1 is not None for node in shown) else "", no_wrap=True, justify="right")
    table.add_column("active", justify="right", no_wrap=True)
    has_frequency = any(node.selection_frequency is not None for node in shown)
    table.add_column("kept" if has_frequency else "", justify="right", no_wrap=True)
    table.add_column("contribution", no_wrap=True, width=CONTRIBUTION_WIDTH + 1 + BAR_WIDTH)
    for node in shown:
        table.add_row(*_row(node, largest))
    return table


def _row(node: Node, largest: float) -> list[Text]:
    contribution = f"{signed(node.contribution):>{CONTRIBUTION_WIDTH}} {_bar(abs(node.contribution) / largest)}"
    return [
        Text(node.id),
        Text(readable_token(node.token, length=LONGEST_TOKEN)),
        Text("" if node.label is None else readable_token(node.label)),
        Text("" if node.label_f1 is None else f"{node.label_f1:.2f}", style="dim"),
        Text(signed(node.activation).removeprefix("+")),
        Text("" if node.selection_frequency is None else f"{node.selection_frequency:.0%}"),
        Text(contribution, style=NEGATIVE if node.contribution < 0 else POSITIVE),
    ]


def _bar(share: float) -> str:
    eighths = round(share * BAR_WIDTH * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()

"""What a search found, for a terminal."""

from rich.table import Table

from sae.measurement_text import with_interval
from steering.finding.finding import Found, VerifiedFeature
from steering.finding.ranking import RankedFeature

__all__ = ["card_lines", "render_found"]

HEADINGS = ("found by", "input", "output", "answer [95 %]", "strength", "given", "KL off target")


def render_found(found: Found) -> Table:
    """A row a feature, best output score first, and the random feature last."""
    title = f"Features that make the model answer “{found.settings.target}”"
    caption = (
        "input: how it fires on what was looked for; output: of its own tokens on a neutral prompt; answer: of the "
        f"wanted answer on other documents; given: share of {found.n_reported} held-out prompts answered so at the "
        "strength (length of the change beside the stream) that other prompts chose; KL: nats a token of unrelated text"
    )
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    table.add_column("feature", no_wrap=True)
    table.add_column("label")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "found by" else "right")
    for each in (*found.features, found.null):
        table.add_row(*_cells(each))
    for ranked, label in found.others[:5]:
        table.add_row(*_score_cells(ranked, label), "", "", "", style="dim")
    return table


def card_lines(each: VerifiedFeature) -> list[str]:
    """The risk card of a feature."""
    card = each.card
    domains = ", ".join(f"{name} {value:.2f}" for name, value in each.row["kl_by_domain"].items())
    lines = [
        f"{_named(card.feature, card.label)}: active on {card.density:.2%} of {card.n_tokens:,} tokens",
        f"    says {_tokens(each, 'promoted')}; speaks against {_tokens(each, 'suppressed')}",
        f"    |change|/|x| {_number(each.row['norm_ratio'])}; KL off target, nats: {domains}",
    ]
    near = [f"{_named(other.feature, other.label)} {other.overlap:.0%}" for other in card.co_firing[:3]]
    return [*lines, f"    active together with {', '.join(near)}"] if near else lines


def _named(feature: str, label: str | None) -> str:
    return feature if label is None else f"{feature} ({label})"


def _cells(each: VerifiedFeature) -> tuple[str, ...]:
    row = each.row
    return (
        *_score_cells(each.ranked, each.label),
        f"{row['strength']:g}",
        _number(row["target_rate"]),
        _number(row["kl_off_target"]),
    )


def _score_cells(each: RankedFeature, label: str | None) -> tuple[str, ...]:
    return (
        each.feature.name,
        label or "",
        each.candidate.found_by,
        _number(each.candidate.input_score),
        f"{each.output_score:.2f}",
        with_interval(each.answer_score),
    )


def _tokens(each: VerifiedFeature, side: str) -> str:
    return " ".join(repr(effect.token.strip()) for effect in getattr(each.card, side)[:3])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

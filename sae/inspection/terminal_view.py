"""A feature, or a whole dictionary, in the terminal, readable from 80 columns on."""

from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sae.inspection.reports import Context, DictionaryReport, FeatureReport, FeatureSummary, Histogram, TokenLogit
from sae.token_text import readable_token, visible_text

__all__ = ["render_dictionary", "render_feature"]

BARS = " ▁▂▃▄▅▆▇█"
POSITIVE, NEGATIVE, FAINT = "bright_blue", "dark_orange", "dim"
LONGEST_TOKEN = 16
SHADES = ("", "on grey19", "on dark_blue", "on blue3", "bold white on dodger_blue3")
"""Background by quarters of the largest activation, none at 0."""


def render_feature(report: FeatureReport, *, n_contexts: int = 8) -> Group:
    """What `sae features SAE --id N` prints.

    Args:
        report: What is known of the feature.
        n_contexts: How many of the strongest contexts, at most; one from each decile follows.
    """
    parts: list[RenderableType] = [_feature_heading(report)]
    if report.n_active:
        parts += [Text(f"activations  0 {_bars(report.activations.counts)} {report.largest_activation:.3g}\n")]
    parts += [_directions(report), _neighbours(report)]
    if report.n_active:
        parts += [Text("\nstrongest contexts", style="bold"), _contexts(report.strongest[:n_contexts], report)]
        drawn = [decile.contexts[0] for decile in report.deciles if decile.contexts]
        parts += [Text("\none from each tenth of its activations", style="bold"), _contexts(drawn, report)]
    return Group(*parts)


def render_dictionary(report: DictionaryReport, *, limit: int = 20) -> Group:
    """What `sae features SAE` prints.

    Args:
        report: What is known of the dictionary.
        limit: How many features at most, the most often active ones.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    table.add_column("feature", justify="right", no_wrap=True)
    table.add_column("active on", justify="right", no_wrap=True)
    table.add_column("activations", no_wrap=True)
    table.add_column("up to", justify="right", no_wrap=True)
    table.add_column("name", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("strongest on", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("makes likelier", no_wrap=True, overflow="ellipsis", ratio=3)
    shown = report.features[: max(0, limit)]
    for feature in shown:
        table.add_row(*_summary_row(feature))
    rest = len(report.features) - len(shown)
    note = [Text(f"{rest} more features on the page", style=FAINT)] if rest else []
    return Group(_dictionary_heading(report), table, *note)


def _feature_heading(report: FeatureReport) -> Text:
    name = f"feature {report.feature}" if report.label is None else readable_token(report.label.text)
    heading = Text(name, style="bold")
    if report.label is not None:
        heading.append(f"  F1 {report.label.f1:.2f}, feature {report.feature}", style=FAINT)
    heading.append(f"\n{_origin(report)}\n", style="not bold")
    active = f"active on {_percent(report.density)}, {report.n_active:,} tokens"
    sizes = f"; mean {report.mean_activation:.3g}, largest {report.largest_activation:.3g}" if report.n_active else ""
    return heading.append(f"{active}{sizes}; threshold {report.threshold:.3g}\n", style="not bold")


def _origin(report: FeatureReport) -> str:
    source = report.source
    model, corpus = readable_token(source.model), readable_token(source.corpus)
    return f"{source.site} of {model}, {source.n_tokens:,} tokens of {corpus}"


def _dictionary_heading(report: DictionaryReport) -> Text:
    source = report.source
    heading = Text(f"{source.d_sae:,} features at {source.site} of {readable_token(source.model)}", style="bold")
    heading.append(f"\n{source.n_tokens:,} tokens of {readable_token(source.corpus)}; ", style="not bold")
    heading.append(f"L0 {report.l0:.3g}, {report.n_dead:,} never active, ", style="not bold")
    heading.append(f"{report.n_dense:,} on more than 10 % of tokens\n", style="not bold")
    return heading.append(f"density  {_density_line(report.densities)}\n", style="not bold")


def _density_line(densities: Histogram) -> str:
    first, last = (_percent(10**edge) for edge in (densities.edges[0], densities.edges[-1]))
    return f"{first} {_bars(densities.counts)} {last}"


def _summary_row(feature: FeatureSummary) -> list[Text]:
    context = feature.context
    return [
        Text(str(feature.feature)),
        Text(_percent(feature.density)),
        Text(_bars(_thinned(feature.octaves)), style=POSITIVE),
        Text(f"{feature.largest_activation:.3g}" if context else ""),
        Text("" if feature.label is None else readable_token(feature.label.text)),
        Text(
            "never active" if context is None else readable_token(context.tokens[context.index]),
            style="" if context else FAINT,
        ),
        Text(" · ".join(readable_token(pair.token) for pair in feature.promoted), style=POSITIVE),
    ]


def _directions(report: FeatureReport) -> Table:
    """Tokens that it is active on, makes likelier and makes less likely, side by side."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("active on")
    table.add_column("", justify="right")
    for heading, style in (("makes likelier", POSITIVE), ("makes less likely", NEGATIVE)):
        table.add_column(heading, style=style)
        table.add_column("logit", justify="right", style=style)
    for place in range(max(len(report.tokens), min(8, len(report.promoted)))):
        token = report.tokens[place] if place < len(report.tokens) else None
        fired = [_short(token.token), _percent(token.share_of_firings)] if token else ["", ""]
        table.add_row(*map(Text, [*fired, *_logit(report.promoted, place), *_logit(report.suppressed, place)]))
    return table


def _logit(pairs: Sequence[TokenLogit], place: int) -> list[str]:
    if place >= len(pairs):
        return ["", ""]
    return [_short(pairs[place].token), f"{pairs[place].logit:+.2f}".replace("-", "\N{MINUS SIGN}")]


def _neighbours(report: FeatureReport) -> Group:
    cells = [
        Text(
            f"{near.feature} {near.cosine:.2f} {'' if near.label is None else readable_token(near.label.text)}".strip()
        )
        for near in report.neighbours
    ]
    return Group(Text("\nnearest decoder rows, by cosine", style="bold"), Columns(cells, padding=(0, 3)))


def _contexts(contexts: Sequence[Context], report: FeatureReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for context in contexts:
        table.add_row(Text(f"{context.activation:.3g}", style=FAINT), _shaded(context, report.largest_activation))
    return table


def _shaded(context: Context, largest: float) -> Text:
    line = Text()
    for token, activation in zip(context.tokens, context.activations, strict=True):
        shade = 0 if activation <= 0 else min(len(SHADES) - 1, 1 + int(4 * activation / largest))
        bare = visible_text(token.removeprefix(" "))
        line.append(" " if token.startswith(" ") and len(line) else "").append(bare, style=SHADES[shade])
    return line


def _short(token: str) -> str:
    return readable_token(token, length=LONGEST_TOKEN)


def _thinned(counts: Sequence[int], n: int = 12) -> list[int]:
    """The counts in at most `n` bins."""
    per_bin = -(-len(counts) // n) or 1
    return [sum(counts[start : start + per_bin]) for start in range(0, len(counts), per_bin)]


def _bars(counts: Sequence[int]) -> str:
    most = max(counts, default=0) or 1
    return "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in counts)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.2g} %"

"""A demonstration in the terminal, readable from 80 columns on."""

from collections.abc import Sequence

from rich import box
from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sae.measurement_text import plain, with_interval
from sae.token_text import readable_token, visible_text
from steering.demo.demonstration import UNIT_MEANINGS, WARNING, Demonstration, EffectCurve
from steering.demo.shown_case import ShownToken

__all__ = ["render_demonstration"]

POSITIVE, NEGATIVE, FAINT = "bright_blue", "dark_orange", "dim"
BAR_WIDTH = 16


def render_demonstration(shown: Demonstration) -> RenderableType:
    """What `steering demo` prints: the case side by side, the curve over strengths, the side effects, the choice."""
    return Group(
        _heading(shown),
        _sides(shown),
        _strengths(shown),
        _key(shown),
        _effects(shown),
        _card(shown),
        Text(),
        *(Text(words, style=FAINT) for words in shown.choice.words),
        Text(WARNING, style=NEGATIVE),
    )


def _heading(shown: Demonstration) -> Text:
    label = f" ({readable_token(shown.label.text)}, F1 {shown.label.f1:.2f})" if shown.label else ""
    heading = Text(f"“{readable_token(shown.answer)}” → “{readable_token(shown.target)}”", style="bold")
    heading.append(f"  {shown.feature.name}{label} added at the prompt's last token\n", style="not bold")
    return heading.append(visible_text(shown.prompt), style="dim not bold")


def _sides(shown: Demonstration) -> Table:
    """The plain text beside that at the chosen strength, words that differ marked."""
    before, after = shown.differences(shown.chosen)
    plain, steered = (shown.texts[index].tokens for index in (0, shown.chosen))
    strength = f"steered by {shown.strengths[shown.chosen]:g} {shown.unit}"
    view = Table.grid(expand=True, padding=(0, 1))
    for _ in range(2):
        view.add_column(ratio=1)
    view.add_row(_side("left alone", plain, before, NEGATIVE), _side(strength, steered, after, POSITIVE))
    return view


def _side(title: str, tokens: Sequence[ShownToken], differs: Sequence[bool], colour: str) -> Panel:
    start = next((index for index, token in enumerate(tokens) if not token.is_given), len(tokens))
    text = Text()
    for token, is_different in list(zip(tokens, differs, strict=True))[start:]:
        marked = is_different and not token.is_given
        text.append(token.text, style=f"bold reverse {colour}" if marked else FAINT if token.is_given else "")
    return Panel(_without_first_space(text) if text else Text("nothing", style=FAINT), title=title, title_align="left")


def _without_first_space(text: Text) -> Text:
    return text[1:] if text.plain.startswith(" ") and len(text) > 1 else text


def _strengths(shown: Demonstration) -> Table:
    """A line a strength; bars are the target's probability in the case."""
    rate, *others = shown.curves
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (shown.unit, "p", "", "rate", *("KL" for _ in others[:1]), "|change|/|x|"):
        view.add_column(column, justify="right" if column else "left")
    view.add_column("the model writes", overflow="ellipsis", no_wrap=True)
    for index, text in enumerate(shown.texts):
        view.add_row(
            f"{shown.strengths[index]:g}",
            f"{text.target_probability:.2f}",
            Bar(1.0, 0.0, text.target_probability, width=BAR_WIDTH, color=POSITIVE),
            *(plain(curve.of_feature[index]) for curve in (rate, *others[:1])),
            "" if text.edit.norm_ratio is None else f"{text.edit.norm_ratio:.2f}",
            visible_text(text.written),
            style="bold" if index == shown.chosen else None,
        )
    return view


def _key(shown: Demonstration) -> Text:
    """What the columns of the strengths are."""
    rate, *others = shown.curves
    lines = [
        f"p: probability that “{readable_token(shown.target)}” comes next in this case",
        f"rate: {rate.title[0].lower()}{rate.title[1:]}, share of {rate.of_feature[0].n}",
        *(
            f"KL: KL(steered ‖ plain) of unrelated text, {curve.title.partition(', ')[2]}, {curve.unit} a token"
            for curve in others[:1]
        ),
        f"bold: the strength chosen on other cases; 1 {shown.unit} is {UNIT_MEANINGS[shown.unit]}",
    ]
    return Text("\n".join(lines) + "\n", style=FAINT)


def _effects(shown: Demonstration) -> Table:
    strength = f"{shown.strengths[shown.chosen]:g} {shown.unit}"
    view = Table(title=f"At strength {strength}, elsewhere", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column("")
    for name in (shown.feature.name, "random feature"):
        view.add_column(name, justify="right")
    view.add_column("unit")
    view.add_column("n", justify="right")
    for curve in shown.curves:
        view.add_row(*_effect(curve, shown.chosen))
    return view


def _effect(curve: EffectCurve, index: int) -> list[str]:
    feature, null = curve.of_feature[index], curve.of_null[index]
    return [curve.title, with_interval(feature), with_interval(null), curve.unit or "share", str(feature.n)]


def _domain(curve: EffectCurve) -> str:
    return curve.title.partition(", ")[2]


def _card(shown: Demonstration) -> Table:
    """The footprint of the feature, a line a fact."""
    card = shown.card
    view = Table.grid(padding=(0, 2))
    for _ in range(2):
        view.add_column(overflow="fold")
    view.add_row("active on", f"{card.density:.2%} of {card.n_tokens:,} tokens")
    for name, effects in (("makes likelier", card.promoted), ("less likely", card.suppressed)):
        view.add_row(name, ", ".join(f"{readable_token(each.token)} {each.logit:+.2f}" for each in effects))
    together = [f"{each.feature} ({readable_token(each.label or '?')}) {each.overlap:.0%}" for each in card.co_firing]
    view.add_row("active together with", ", ".join(together) or "nothing")
    return view

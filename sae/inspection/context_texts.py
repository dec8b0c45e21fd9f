"""Windows of token ids become contexts of texts."""

from collections.abc import Iterable, Mapping

from jaxtyping import Float
from torch import Tensor

from sae.inspection.reports import Context, Decile
from sae.inspection.windows import NO_TOKEN, Windows, WindowShape

__all__ = ["contexts", "decile_contexts", "token_ids_of", "without_repeats"]

N_DECILES = 10


def token_ids_of(windows: Windows) -> Iterable[int]:
    """The ids that occur in some windows."""
    ids = windows.token_ids.unique().tolist()
    return [token_id for token_id in ids if token_id != NO_TOKEN]


def contexts(windows: Windows, shape: WindowShape, texts: Mapping[int, str]) -> tuple[Context, ...]:
    """The windows with their tokens as texts; places outside the document are left out."""
    rows = zip(windows.document_ids.tolist(), windows.token_ids.tolist(), windows.activations.tolist(), strict=True)
    found = []
    for document, ids, activations in rows:
        first = next(place for place, token_id in enumerate(ids) if token_id != NO_TOKEN)
        kept = [place for place, token_id in enumerate(ids) if token_id != NO_TOKEN]
        found.append(
            Context(
                document=document,
                tokens=tuple(texts[ids[place]] for place in kept),
                activations=tuple(activations[place] for place in kept),
                index=shape.before - first,
            )
        )
    return tuple(found)


def without_repeats(candidates: Iterable[Context], n: int) -> tuple[Context, ...]:
    """The first `n` contexts that differ in their tokens and in their documents."""
    chosen: list[Context] = []
    seen: set[object] = set()
    for context in candidates:
        if len(chosen) < n and not {context.tokens, context.document} & seen:
            chosen.append(context)
            seen |= {context.tokens, context.document}
    return tuple(chosen)


def decile_contexts(
    values: Float[Tensor, " firings"], sample: Iterable[Context], *, per_decile: int
) -> tuple[Decile, ...]:
    """Contexts from each tenth of a feature's activations, the strongest tenth first.

    Args:
        values: All activations of the feature.
        sample: Contexts chosen at random among its firings.
        per_decile: Contexts of each tenth; fewer where the sample has fewer.
    """
    if len(values) == 0:
        return ()
    ordered = values.sort().values
    bounds = [ordered[min(len(ordered) - 1, len(ordered) * part // N_DECILES)].item() for part in range(N_DECILES)]
    bounds.append(ordered[-1].item())
    drawn = list(sample)
    deciles = []
    for part in reversed(range(N_DECILES)):
        low, high = bounds[part], bounds[part + 1]
        is_top = part == N_DECILES - 1
        inside = [context for context in drawn if low <= context.activation and (is_top or context.activation < high)]
        deciles.append(Decile(low, high, without_repeats(inside, per_decile)))
    return tuple(deciles)

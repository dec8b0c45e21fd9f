"""What asking would cost, before anything is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sae.interpretation.judges.request import JudgeRequest

__all__ = ["Cost", "estimate_cost"]

MESSAGE_TOKENS = 4
"""What a chat template adds to each message, about."""


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Attributes:
        n_requests: Different questions.
        n_known: Those of them that are answered already.
        input_tokens: Of the others, as the host's tokenizer counts them.
        output_tokens: Most tokens of their answers.
        price: Of these tokens, in the currency of the prices; None without prices.
    """

    n_requests: int
    n_known: int
    input_tokens: int
    output_tokens: int
    price: float | None


def estimate_cost(
    requests: Sequence[JudgeRequest],
    model: str,
    count_tokens: Callable[[str], int],
    *,
    known: Callable[[JudgeRequest], bool] | None = None,
    price_in: float | None = None,
    price_out: float | None = None,
) -> Cost:
    """Estimate what questions cost; second questions after answers that are not understood come on top.

    Args:
        requests: The questions; equal ones are asked once.
        model: Who is asked.
        count_tokens: Tokens of a text.
        known: Whether a question is answered already.
        price_in: Price of a million input tokens.
        price_out: Price of a million output tokens.
    """
    unique = {request.key(model): request for request in requests}
    new = [each for each in unique.values() if known is None or not known(each)]
    input_tokens = sum(count_tokens(message.content) + MESSAGE_TOKENS for each in new for message in each.messages)
    output_tokens = sum(each.max_tokens for each in new)
    has_price = price_in is not None or price_out is not None
    price = (input_tokens * (price_in or 0.0) + output_tokens * (price_out or 0.0)) / 1e6
    return Cost(len(unique), len(unique) - len(new), input_tokens, output_tokens, price if has_price else None)

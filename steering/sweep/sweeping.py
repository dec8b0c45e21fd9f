"""One sweep from beginning to end: prompts and texts, methods, measurements."""

from collections.abc import Iterable, Mapping
from functools import cache

from steering.steered_host import SteeredHost
from steering.sweep.building import Baseline, swept_methods
from steering.sweep.measuring import Watched, measure_method
from steering.sweep.prompts import Examples, answer_examples, target_prompts
from steering.sweep.results import Sweep
from steering.sweep.settings import SweepSettings
from steering.sweep.unrelated_text import read_unrelated

__all__ = ["run_sweep"]


def run_sweep(
    steered: SteeredHost,
    settings: SweepSettings,
    *,
    prompts: Iterable[str],
    examples: Iterable[str],
    domains: Mapping[str, str],
) -> Sweep:
    """Sweep an edit over its strengths beside other methods.

    Args:
        steered: The model.
        settings: What is swept.
        prompts: Each ends where an answer is due, without a trailing space.
        examples: The same of other documents, from which directions are learned.
        domains: SPEC of unrelated text by name.

    Raises:
        ValueError: Something that was asked for cannot be done; the message says what.
    """
    host, edit = steered.host, settings.edit
    asked = target_prompts(host, settings.target, prompts, n_prompts=settings.n_prompts)
    unrelated = read_unrelated(
        host,
        domains,
        n_texts=settings.n_texts,
        n_tokens=settings.n_tokens,
        without=settings.words,
        seed=settings.seed + 1,
    )

    @cache
    def read_examples() -> Examples:
        site = edit.target.site
        return answer_examples(host, asked.target_id, examples, [site], n_prompts=settings.n_examples)[site]

    baseline = Baseline(
        steered,
        edit,
        _lengths(steered, settings),
        asked.target_id,
        settings.hint.replace("{target}", settings.target),
        read_examples,
        settings.seed,
    )
    watched = Watched.after(steered.dictionaries, edit.target.site)
    methods = [
        measure_method(
            host,
            each.method,
            each.strengths,
            asked,
            unrelated,
            watched,
            lexicon=settings.words,
            max_new_tokens=settings.max_new_tokens,
        )
        for each in swept_methods(baseline, settings.ordered, settings.methods)
    ]
    return Sweep(settings, asked, domains, tuple(unrelated), tuple(methods))


def _lengths(steered: SteeredHost, settings: SweepSettings) -> tuple[float, ...]:
    """The edit's strengths as lengths of the change beside the stream's median length."""
    sizes = steered.dictionaries.unit_sizes(settings.edit.target)
    coefficients = [sizes.coefficient(settings.edit.with_value(value)) for value in settings.ordered]
    lengths = [sizes.in_every_unit(coefficient)["resid"] for coefficient in coefficients]
    found = tuple(float(f"{abs(length):.6g}") for length in lengths if length is not None)
    if len(found) < len(lengths):
        raise ValueError(f"other directions cannot be as long as {settings.edit}: {sizes.lacking['resid']}")
    return found

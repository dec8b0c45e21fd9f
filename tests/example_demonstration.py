"""A demonstration made up by hand: two strengths, hostile text, numbers that a page can be held to."""

from browser import HOSTILE

from sae.dictionary.labels import FeatureLabel
from sae.host.sites import Site
from sae.measurement import Measurement
from steering.demo.demonstration import Candidate, Choice, Demonstration, EffectCurve
from steering.demo.shown_case import ShownText, ShownToken
from steering.directions import Feature
from steering.interventions import Intervention
from steering.results import AppliedEdit
from steering.risk_card import CoFiring, RiskCard, TokenEffect

FEATURE, NULL = Feature(Site("resid_post", 1), 3), Feature(Site("resid_post", 1), 4)
RECORD = {
    "model": {"name": HOSTILE},
    "saes": [{"site": "resid_post.1", "sha256": "ab" * 32}],
    "versions": {"python": "3"},
    "statistics": {"resid_post.1": {"source": "9 tokens", "reason": None}},
}
COMMAND = ["steering", "demo", "--prompt", f"it's {HOSTILE}"]


def text(strength: float, answer: str, activation: float, probability: float, kl: float) -> ShownText:
    units = {"max_act": strength / 2, "resid": strength, "sigma": None, "raw": 8 * strength}
    edit = AppliedEdit(Intervention(FEATURE, "add", strength, "resid", "last"), units, strength, 1)
    tokens = (
        ShownToken(f" {HOSTILE}", True, 0.0),
        ShownToken(" is", True, activation),
        ShownToken(answer, False, 0.0),
        ShownToken(".", False, 0.0),
    )
    return ShownText(edit, tokens, probability, 1 - probability, kl)


def curve(name: str, title: str, values: tuple[float, ...], unit: str) -> EffectCurve:
    def of(factor: float) -> tuple[Measurement, ...]:
        return tuple(Measurement(v * factor, v * factor * 0.5, v * factor, 7, unit) for v in values)

    return EffectCurve(name, title, of(1.0), of(0.25))


def example_demonstration() -> Demonstration:
    curves = (
        curve("target_rate", "Other cases answered", (0.0, 0.5, 1.0), ""),
        curve("kl_off_target", "KL, same domain", (0.0, 1.0, 3.0), "nats"),
    )
    card = RiskCard(
        FEATURE.name,
        "latent:gout",
        (TokenEffect(" gout", 1.5),),
        (TokenEffect(HOSTILE, -0.5),),
        0.01,
        1000,
        (CoFiring(NULL.name, None, 0.25),),
    )
    return Demonstration(
        prompt=f"{HOSTILE} is",
        target="gout",
        answer="stroke",
        feature=FEATURE,
        null=NULL,
        label=FeatureLabel("latent:gout", 0.75),
        unit="resid",
        texts=(
            text(0.0, " stroke", 0.0, 0.125, 0.0),
            text(0.5, " stroke", 4.0, 0.25, 0.375),
            text(1.0, " gout", 8.0, 0.875, 2.25),
        ),
        chosen=2,
        max_act=16.0,
        curves=curves,
        choice=Choice(("It was drawn.",), "answer score", (Candidate(FEATURE, "latent:gout", 0.5),)),
        card=card,
    )

"""The dictionaries of a host and what is known of their sites, each loaded and measured when it is first needed."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from sae.bundle import bundled_saes
from sae.corpora import read_corpus
from sae.dictionary.autoencoder import SAE
from sae.dictionary.collection import load_saes
from sae.dictionary.labels import FeatureLabel, load_labels
from sae.host.host import HostModel
from sae.host.sites import Site
from sae.inspection.sources import recorded_corpus
from steering.directions import Feature, Target
from steering.interventions import SteeringSpec
from steering.reference_activations import ReferenceActivations, measure_references
from steering.units import UnitSizes, unit_sizes

__all__ = ["DEFAULT_TOKENS", "Dictionaries"]

DEFAULT_TOKENS = 20_000
DEPENDENT = 1e-4
"""Smallest eigenvalue of the directions' cosines from which they count as independent."""


class Dictionaries:
    """SAEs and transcoders by the site that they write, and how large activations are there.

    Args:
        host: The model.
        saes: Dictionaries by site, a directory of them or a sae-lens release; by default those bundled with the host.
        statistics: SPEC of the corpus that strengths are measured by; by default what a site's SAE says that it was
            trained on.
        n_tokens: How many tokens of it to look at.
        seed: Of a corpus that is generated.
    """

    def __init__(
        self,
        host: HostModel,
        *,
        saes: str | Path | Mapping[Site, SAE] | None = None,
        statistics: str | None = None,
        n_tokens: int = DEFAULT_TOKENS,
        seed: int = 0,
    ) -> None:
        self.host = host
        self._given = saes
        self._statistics = statistics
        self._n_tokens = n_tokens
        self._seed = seed
        self._saes: dict[Site, SAE] = {}
        self._labels: dict[Site, dict[int, FeatureLabel]] = {}
        self._references: dict[Site, ReferenceActivations | str] = {}
        self._sizes: dict[Target, UnitSizes] = {}

    @property
    def loaded(self) -> Mapping[Site, SAE]:
        """The dictionaries that were needed so far, in forward order."""
        return {site: self._saes[site] for site in sorted(self._saes)}

    @property
    def measured(self) -> Mapping[Site, ReferenceActivations | str]:
        """What is known of the sites that were needed so far, or why nothing is, in forward order."""
        return {site: self._references[site] for site in sorted(self._references)}

    def sae(self, site: Site) -> SAE:
        """The dictionary that writes a site.

        Raises:
            ValueError: There is none, or it does not fit the host.
        """
        if site not in self._saes:
            self._saes[site] = self._load(site)
        return self._saes[site]

    def sae_if_any(self, site: Site) -> SAE | None:
        """The same, or None: a direction may lie where no dictionary is."""
        try:
            return self.sae(site)
        except ValueError:
            return None

    def stream_sites(self, *, after: Site | None = None) -> list[Site]:
        """Sites of the residual stream after a layer that a dictionary writes, in forward order; those are loaded.

        Args:
            after: Only later ones than this.
        """
        stream = (site for site in self.host.sites if site.kind == "resid_post" and (after is None or site > after))
        return [site for site in stream if self.sae_if_any(site) is not None]

    def label(self, site: Site, feature: int) -> FeatureLabel | None:
        """What a feature stands for, if it is known well enough."""
        if site not in self._labels:
            self._labels[site] = load_labels(self.sae(site).path)
        return self._labels[site].get(feature)

    def _check_site(self, site: Site) -> None:
        if site not in self.host.sites:
            raise ValueError(f"model {self.host.name!r} has no site {site}, its last is {self.host.sites[-1]}")

    def _load(self, site: Site) -> SAE:
        self._check_site(site)
        if isinstance(self._given, Mapping):
            if site not in self._given:
                present = ", ".join(map(str, sorted(self._given))) or "no site"
                raise ValueError(f"there is no SAE at {site}, expected one of {present}")
            return self._given[site]
        location = self._given or bundled_saes(self.host.name)
        if location is None:
            raise ValueError(f"model {self.host.name!r} brings no SAEs; give --saes DIRECTORY or a sae-lens release")
        return load_saes(location, host=self.host, sites=str(site), transcoders=True)[site]

    def direction(self, target: Target) -> Float[Tensor, " d_model"]:
        """What a coefficient of 1 adds to the stream.

        Raises:
            ValueError: There is no such site or feature, or the direction has another width than the model.
        """
        if isinstance(target, Feature):
            sae = self.sae(target.site)
            if target.index >= sae.d_sae:
                raise ValueError(f"feature {target.name} does not exist, expected a feature from 0 to {sae.d_sae - 1}")
            return sae.decoder_rows[target.index]
        self._check_site(target.site)
        if len(target.vector) != self.host.d_model:
            raise ValueError(
                f"direction {target.name} has {len(target.vector)} numbers, but model {self.host.name!r} has d_model "
                f"{self.host.d_model}; use the model that it was found in"
            )
        return torch.tensor(target.vector, dtype=torch.float32, device=self.host.device)

    def unit_sizes(self, target: Target) -> UnitSizes:
        """What a strength of 1 in each unit is, along a target.

        Raises:
            ValueError: As for `direction`.
        """
        if target not in self._sizes:
            direction = self.direction(target)
            feature = target.index if isinstance(target, Feature) else None
            self._sizes[target] = unit_sizes(target, direction, self.references(target.site), feature)
        return self._sizes[target]

    def prepare(self, specs: Iterable[SteeringSpec]) -> None:
        """Load and measure all that some specs need, their sites in one pass over the reference text.

        Raises:
            ValueError: A spec cannot be carried out here; the message says what it lacks.
        """
        distinct = list(dict.fromkeys(specs))
        interventions = list(dict.fromkeys(each for spec in distinct for each in spec.interventions))
        for each in interventions:
            self.direction(each.target)
        self.measure(dict.fromkeys(each.target.site for each in interventions))
        for each in interventions:
            self.unit_sizes(each.target).coefficient(each)
        for spec in distinct:
            self._check_projections(spec)

    def _check_projections(self, spec: SteeringSpec) -> None:
        """Projections of a site hold together, which they cannot along directions that depend on each other."""
        projections = [each for each in spec.interventions if each.operation == "project"]
        for site, group in groupby(sorted(projections, key=lambda each: each.target.site), lambda x: x.target.site):
            together = list(group)
            units = normalize(torch.stack([self.direction(each.target) for each in together]), dim=-1)
            if torch.linalg.eigvalsh(units @ units.T)[0] < DEPENDENT:
                names = ", ".join(each.target.name for each in together)
                raise ValueError(
                    f"the projections of {names} contradict each other: their directions at {site} depend "
                    "on each other; drop one"
                )

    def references(self, site: Site) -> ReferenceActivations | str:
        """How large activations are at a site, or in words why that is not known."""
        self.measure([site])
        return self._references[site]

    def measure(self, sites: Iterable[Site]) -> None:
        """Look at reference text for all of some sites at once, where it has not been done."""
        missing = {site: self.sae_if_any(site) for site in sites if site not in self._references}
        corpora = {site: self._corpus(sae) for site, sae in missing.items()}
        for corpus, group in groupby(sorted(missing, key=lambda site: corpora[site] or ""), key=corpora.__getitem__):
            self._references |= self._measured(corpus, {site: missing[site] for site in group})

    def _corpus(self, sae: SAE | None) -> str | None:
        return self._statistics or (None if sae is None else recorded_corpus(sae))

    def _measured(
        self, corpus: str | None, saes: Mapping[Site, SAE | None]
    ) -> Mapping[Site, ReferenceActivations | str]:
        if corpus is None:
            reason = "no SAE there says what text it was trained on; give --statistics CORPUS"
            return dict.fromkeys(saes, reason)
        try:
            texts = read_corpus(corpus, seed=self._seed)
            return measure_references(self.host, saes, texts, corpus=corpus, n_tokens=self._n_tokens)
        except ValueError as error:
            if self._statistics:
                raise
            return dict.fromkeys(saes, f"the text of the SAE cannot be read ({error}); give --statistics CORPUS")

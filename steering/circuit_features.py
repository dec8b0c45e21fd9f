"""The features of a found circuit as something to steer along, read from the circuit's `circuit.json`.

Only the file format is shared with what found the circuit: of each node `kind`, `site`, `feature` and `contribution`,
and the `model` and the `saes` (site, path, sha256) that it was found with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae.dictionary.autoencoder import SAE
from sae.dictionary.collection import load_saes
from sae.host.host import HostModel
from sae.host.sites import Site
from steering.directions import Feature
from steering.json_file import read_json

__all__ = ["CircuitFeatures", "read_circuit_features"]

JSON_FILE = "circuit.json"
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class CircuitFeatures:
    """What steering needs to know of a circuit.

    Attributes:
        prompt: That it was found on; None where it was found on pairs of prompts.
        target: The answer that positive contributions support.
        foil: The answer that it is compared with.
        model: Name or directory of the model.
        contributions: Of each feature, summed over its positions, in the units of the circuit's metric.
        saes: Path and hash of the dictionary at each site.
    """

    prompt: str | None
    target: str
    foil: str
    model: str
    contributions: Mapping[Feature, float]
    saes: Mapping[Site, tuple[str, str | None]]

    def strongest(self, n: int, *, supporting: bool = True) -> list[Feature]:
        """Features with the largest summed contribution to the target, or against it; at most `n`.

        Raises:
            ValueError: There is none.
        """
        sign = 1 if supporting else -1
        ranked = sorted(self.contributions.items(), key=lambda item: -sign * item[1])
        found = [feature for feature, contribution in ranked if sign * contribution > 0][:n]
        if not found:
            side = "supports" if supporting else "opposes"
            raise ValueError(f"no feature of the circuit {side} {self.target!r}, expected at least one")
        return found

    def load_saes(self, host: HostModel, features: Sequence[Feature]) -> dict[Site, SAE]:
        """The dictionaries of some features, from where they were when the circuit was found.

        Raises:
            ValueError: One is there no longer, is another one, or does not fit the host.
        """
        return {site: self._load(host, site) for site in sorted({feature.site for feature in features})}

    def _load(self, host: HostModel, site: Site) -> SAE:
        path, recorded = self.saes.get(site, ("", None))
        if not path:
            raise ValueError(f"the circuit does not say where its SAE at {site} is; give --saes")
        if not Path(path).exists():
            raise ValueError(f"the circuit's SAE at {site} is no longer at {path!r}; put it back or give --saes")
        sae = load_saes(path, host=host, sites=str(site), transcoders=True)[site]
        if recorded not in (None, sae.content_hash):
            raise ValueError(f"the SAE in {path!r} is not the one that the circuit was found with; discover again")
        return sae


def read_circuit_features(path: Path) -> CircuitFeatures:
    """Read the directory of a circuit, or its `circuit.json`.

    Raises:
        ValueError: There is no circuit, or it is damaged.
    """
    file = path / JSON_FILE if path.is_dir() else path
    record = _read(file)
    try:
        contributions: dict[Feature, float] = {}
        for node in record["nodes"]:
            if node["kind"] == "feature":
                feature = Feature(Site.parse(node["site"]), node["feature"])
                contributions[feature] = contributions.get(feature, 0.0) + node["contribution"]
        return CircuitFeatures(
            prompt=None if record.get("config", {}).get("pairs") else record["prompt"],
            target=record["target"],
            foil=record["foil"],
            model=record["model"]["name"],
            contributions=contributions,
            saes={Site.parse(each["site"]): (each.get("path") or "", each.get("sha256")) for each in record["saes"]},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{str(file)!r} is no whole circuit ({error!r}), expected that of `circuits discover`"
        ) from None


def _read(file: Path) -> dict[str, Any]:
    record = read_json(
        file, "circuit", most_bytes=MOST_BYTES, expected=f"a directory with {JSON_FILE}", remedy="write it again"
    )
    if not isinstance(record, dict):
        raise ValueError(f"{str(file)!r} holds a JSON {type(record).__name__}, expected a circuit's object")
    return record

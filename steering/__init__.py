"""Change what a model does along its features."""

from sae.lazy_exports import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Direction": "steering.directions",
        "Feature": "steering.directions",
        "Intervention": "steering.interventions",
        "SteeredHost": "steering.steered_host",
        "SteeringSpec": "steering.interventions",
        "SweepSettings": "steering.sweep.settings",
        "open_steered_host": "steering.steered_host",
        "parse_edit": "steering.parsing",
        "read_prompt": "steering.positions",
        "run_sweep": "steering.sweep.sweeping",
    },
)

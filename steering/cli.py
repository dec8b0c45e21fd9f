"""The `steering` program. Its commands come with a later version; the name is taken now."""

import click

from sae.command_line import Program

__all__ = ["main"]


@click.group(cls=Program)
@click.version_option(package_name="domain-circuits")
def main() -> None:
    """Change what a model does along its features. This version has no steering command yet."""

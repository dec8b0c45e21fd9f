"""`sae convert`: one library's files to another's."""

from pathlib import Path
from typing import Any

import click

from sae.command_line import emit_json, json_option, output_directory
from sae.commands.options import result

__all__ = ["convert"]

LAYOUTS = ("saelens", "dictionary_learning", "gemma_scope")


@click.command(epilog="Example:  sae convert sae/bundles/clinic/clinical/resid_post.2 out --to dictionary_learning")
@click.argument("source", metavar="IN")
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(LAYOUTS), default="saelens", help="Layout to write.")
@click.option("--model", default=None, help="Only for a transcoder that reads ln2.hook_normalized: its model.")
@click.option("--force", is_flag=True, help="Overwrite existing output.")
@json_option
def convert(output: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Rewrite an SAE directory, or RELEASE:SAE_ID of sae-lens, in another layout.

    Read are SAELens, dictionary_learning, Gemma Scope and Llama Scope, whichever the files are.
    """
    from sae.dictionary.conversion import convert as convert_files

    host = None
    if options["model"] is not None:
        from sae.host.host import HostModel

        host = HostModel.load(options["model"], device="cpu")
    with output_directory(output, force=force) as directory:
        sae = convert_files(options["source"], directory, to=options["to"], host=host)
    facts = {"path": str(output), "d_model": sae.d_model, "d_sae": sae.d_sae, "sha256": sae.content_hash}
    if as_json:
        emit_json(result("convert", options, saes=[facts]))
        return
    click.echo(f"{output}: {options['to']}, d_model {sae.d_model}, d_sae {sae.d_sae}")

"""`circuits view`: a circuit's page in the browser."""

from pathlib import Path

import click

from sae.command_line import SCHEMA_VERSION, emit_json, json_option

__all__ = ["view"]


@click.command(epilog="Example:  circuits view runs/first")
@click.argument("circuit", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--no-open", is_flag=True, help="Do not open the browser.")
@json_option
def view(circuit: Path, port: int, no_open: bool, as_json: bool) -> None:
    """Serve a circuit's page on this machine alone until Ctrl-C, and open it in the browser.

    Prints the address.
    """
    from circuits.export.circuit_server import CircuitServer, circuit_resources

    with CircuitServer(circuit_resources(circuit), port=port) as server:
        if as_json:
            emit_json({"schema_version": SCHEMA_VERSION, "command": "circuits view", "url": server.url})
        else:
            click.echo(server.url)
        if not no_open:
            import webbrowser

            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            # the asked-for way to end it, so that the exit code is 0
            click.echo(err=True)

"""stratolite up: start the cloud and keep it running until it is told to stop."""

from __future__ import annotations

import errno
import os

import click

from stratolite.cli import dropin


def _default_data() -> str:
    return os.environ.get("STRATOLITE_DATA") or os.path.expanduser("~/.stratolite")


data_option = click.option(
    "--data",
    default=_default_data,
    show_default="$STRATOLITE_DATA or ~/.stratolite",
    help="A folder, or s3://BUCKET/PREFIX, gs://, az:// for the log; the view is rebuilt from it.",
)


@click.command("up")
@data_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4566,
    show_default=True,
    help="Port; 0 takes a free one.",
)
@click.option(
    "--tls-cert", type=click.Path(exists=True, dir_okay=False), help="Certificate chain (PEM)."
)
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="Private key (PEM).")
@click.option(
    "--name", "names", multiple=True, help="A further host name that is ours. May be repeated."
)
@click.option(
    "--egress",
    multiple=True,
    metavar="RULE",
    help="What may be reached from here besides public addresses by the platform's own deliveries: a host, *.domain, "
    "an address or network[:port], public, none; FUNCTION=RULE for one function. May be repeated.",
)
@click.option(
    "--isolation",
    type=click.Choice(["standard", "strict"]),
    default="standard",
    show_default=True,
    help="strict: each sandbox starts a Python of its own instead of a fork, some 30 ms later.",
)
@click.option(
    "--init",
    envvar="STRATOLITE_INIT",
    type=click.Path(file_okay=False, exists=True),
    help="A folder whose ready.d/*.sh and *.py are run once the cloud is ready, in order of name.",
)
@click.option("--no-sigv2", is_flag=True, help="Refuse S3 requests signed the old, weak way.")
@click.option(
    "--trail-data-events",
    is_flag=True,
    help="Keep the parameters of calls on items, objects, messages and functions in the trail, too.",
)
def command(
    data: str,
    host: str,
    port: int,
    tls_cert: str | None,
    tls_key: str | None,
    names: tuple[str, ...],
    egress: tuple[str, ...],
    trail_data_events: bool,
    isolation: str,
    init: str | None,
    no_sigv2: bool,
) -> None:
    """Start the cloud and keep it running.

    Prints "ready http://HOST:PORT" once it can serve. Everything acknowledged is in DATA; stop it in
    any way you like.
    """
    import ssl

    from stratolite.core.log import Damaged
    from stratolite.errors import Fenced, Unavailable
    from stratolite.server import Listening, run

    if bool(tls_cert) != bool(tls_key):
        raise click.UsageError("--tls-cert and --tls-key go together")
    dropin.note_foreign_variables()
    hooks = dropin.scripts_of(init) if init else []

    def say(text: str) -> None:
        click.echo(text)
        if hooks and text.startswith("ready "):
            dropin.run_hooks(hooks, text.split()[1])

    try:
        listening = Listening(
            host,
            port,
            tls_cert,
            tls_key,
            names,
            not no_sigv2,
            egress,
            trail_data_events,
            isolation == "strict",
        )
        run(data, listening, say)
    except ssl.SSLError as error:
        raise click.ClickException(
            f"{tls_cert} and {tls_key} are not a certificate and its private key (PEM): {error}"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sentence = f"port {port} on {host} is already in use; pass another --port"
            raise click.ClickException(sentence) from error
        raise click.ClickException(f"cannot start: {error}") from error
    except (Damaged, Fenced, Unavailable) as error:
        raise click.ClickException(str(error)) from error

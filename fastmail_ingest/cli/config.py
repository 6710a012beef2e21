"""The verb about the configuration file."""

import click


@click.group()
def config() -> None:
    """The configuration file."""


@config.command()
def example() -> None:
    """Print every setting with its default and what it means.

    \b
    Examples:
      fastmail-ingest config example
      fastmail-ingest config example > supervisor.toml
    """
    from fastmail_ingest.config.example import render  # noqa: PLC0415 - heavy; --help must not pay for it

    click.echo(render(), nl=False)

"""`jobrunner completion`: the script by which a shell completes."""

from __future__ import annotations

import click

from service.cli.completing import SHELLS, source

_HELP = """Print the script that completes commands, options, jobs and contexts in a shell.

Jobs are completed by ID and name as the service knows them; it is asked for at most a second, or
the seconds of $JOBRUNNER_COMPLETION_TIMEOUT.

\b
bash, in ~/.bashrc:
  source <(jobrunner completion bash)

\b
zsh, in ~/.zshrc, behind compinit:
  source <(jobrunner completion zsh)

\b
fish, once:
  jobrunner completion fish >~/.config/fish/completions/jobrunner.fish

\b
Exit status: 0; 2 for wrong usage.
"""


@click.command("completion", help=_HELP, short_help="complete in bash, zsh or fish")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    print(source(shell, ctx.find_root().command))

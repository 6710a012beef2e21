#!/usr/bin/env pwsh
# Stop what scripts/start.ps1 has started: TERM, a deadline, KILL; nothing of it is left behind.
#   scripts/stop.ps1 --config supervisor.toml     words for `fastmail-ingest stop`; --help tells all
$ErrorActionPreference = 'Stop'
. (Join-Path $PSScriptRoot '_command.ps1')
Invoke-FastmailIngest -Words (@('stop') + $args)
exit $LASTEXITCODE

#!/usr/bin/env pwsh
# Start fastmail-ingest in the background and wait until it is ready.
#   scripts/start.ps1 --config supervisor.toml     words for `fastmail-ingest start`; --help tells all
$ErrorActionPreference = 'Stop'
. (Join-Path $PSScriptRoot '_command.ps1')
Invoke-FastmailIngest -Words (@('start') + $args)
exit $LASTEXITCODE

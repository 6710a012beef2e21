#!/usr/bin/env pwsh
# Ask a running fastmail-ingest whether all is well: 0 ready, 1 running but not ready, 2 no answer.
#   scripts/health_check.ps1 --config supervisor.toml     words for `fastmail-ingest health`; --help tells all
$ErrorActionPreference = 'Stop'
. (Join-Path $PSScriptRoot '_command.ps1')
Invoke-FastmailIngest -Words (@('health') + $args)
exit $LASTEXITCODE

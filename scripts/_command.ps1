# Dot-sourced by the scripts beside it: finds the command, of this checkout or on PATH, and runs it.
# FASTMAIL_INGEST in the environment names another command. It runs on Linux only: on Windows, in WSL.

function Invoke-FastmailIngest {
    param([string[]] $Words)

    $InCheckout = Join-Path (Split-Path -Parent $PSScriptRoot) '.venv/bin/fastmail-ingest'
    if ($env:OS -eq 'Windows_NT') {
        $Name = if ($env:FASTMAIL_INGEST) { $env:FASTMAIL_INGEST } else { 'fastmail-ingest' }
        & wsl.exe --exec $Name @Words
    }
    elseif ($env:FASTMAIL_INGEST) {
        & $env:FASTMAIL_INGEST @Words
    }
    elseif (Test-Path -LiteralPath $InCheckout -PathType Leaf) {
        & $InCheckout @Words
    }
    elseif (Get-Command fastmail-ingest -CommandType Application -ErrorAction SilentlyContinue) {
        & fastmail-ingest @Words
    }
    else {
        [Console]::Error.WriteLine("fastmail-ingest is neither in .venv nor on PATH. remedy: pip install '.[embedded]'")
        exit 2
    }
}

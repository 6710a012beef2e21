# Sourced by the scripts beside it: finds the command, of this checkout or on PATH, and becomes it.
# usage: become VERB [WORD]...     (FASTMAIL_INGEST names another command)

become() {
    here=$(dirname "$0")
    if [ -n "${FASTMAIL_INGEST:-}" ]; then
        command=$FASTMAIL_INGEST
    elif [ -x "$here/../.venv/bin/fastmail-ingest" ]; then
        command=$here/../.venv/bin/fastmail-ingest
    elif command -v fastmail-ingest >/dev/null; then
        command=fastmail-ingest
    else
        echo "fastmail-ingest is neither in .venv nor on PATH. remedy: pip install '.[embedded]'" >&2
        exit 2
    fi
    exec "$command" "$@"
}

# Sourced by the scripts beside it: makes .venv and puts what is asked for into it.
# usage: make_environment EXTRA

make_environment() {
    extra=$1
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "fastmail-ingest needs python3 of version 3.11 or newer on PATH" >&2
        exit 2
    fi
    stamp=.venv/.made-for-$extra
    if [ -f "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ] && [ ! constraints.txt -nt "$stamp" ]; then
        return 0
    fi
    echo "making the environment in .venv (once, about a minute) ..." >&2
    # A venv without pip is one whose making failed half way.
    .venv/bin/python -m pip --version >/dev/null 2>&1 || python3 -m venv --clear .venv || {
        echo "python3 cannot make virtual environments; on Debian: apt install python3-venv" >&2
        exit 2
    }
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable ".[$extra]"
    touch "$stamp"
}

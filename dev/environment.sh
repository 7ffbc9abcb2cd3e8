# Sourced by ./demo, ./test and .ci/run, from the repository's root: keeps a virtual environment in .venv up to date.

PIP_DISABLE_PIP_VERSION_CHECK=1
PIP_USER=no # a setting of some users that cannot work in a virtual environment
export PIP_DISABLE_PIP_VERSION_CHECK PIP_USER

# fail WHAT [TO DO]: one line for a person, and one that helps.
fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    [ -z "${2-}" ] || printf '  %s\n' "$2" >&2
    exit 1
}

recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The Python to build with: $PYTHON, else the system's own if it is recent enough, else the newest beside it.
find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if recent "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed${PYTHON:+; $PYTHON is not}" \
        "on Debian or Ubuntu: apt-get install python3 python3-venv; another one: PYTHON=/path/to/python $0"
}

new_environment() {
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module" "on Debian or Ubuntu: apt-get install python3-venv"
    echo "Creating .venv with $("$python" -V)"
    "$python" -m venv --clear .venv
}

# environment NAME PIP-ARGUMENTS: install what is asked for, unless the same was installed by the same NAME before.
environment() {
    stamp=.venv/installed-for-$1
    shift
    # Editable, so only these files and the place can make it stale.
    wanted="$PWD $* $(cat pyproject.toml examples/shop/requirements.txt | cksum)"
    if recent .venv/bin/python && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    if ! recent .venv/bin/python || { [ -f "$stamp" ] && [ "${wanted%% *}" != "$(cut -d ' ' -f 1 "$stamp")" ]; }; then
        new_environment # there was none, or the checkout has moved
    fi
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null 2>&1 ||
        fail "there is no pip in .venv" "remove it and try again: rm -r .venv"
    echo "Installing into .venv (about half a minute the first time)"
    {
        # Dependency groups need pip 25.1; Debian's is older.
        .venv/bin/python -m pip install -q --upgrade 'pip>=25.1' && .venv/bin/python -m pip install -q "$@"
    } || fail "the packages could not be installed (see above)" "is the package index reachable from here?"
    # As pip does for what it copies: where PYTHONDONTWRITEBYTECODE is set, every command would compile rota again.
    .venv/bin/python -m compileall -q src tests benchmarks || true
    printf '%s\n' "$wanted" >"$stamp"
}

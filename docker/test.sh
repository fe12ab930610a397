#!/usr/bin/env bash
# Run the tests against the test database of compose.yaml: docker/test.sh [ARGUMENTS OF PYTEST]
#
# Starts the database if it does not run, and stops it afterwards only if it started it.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

compose() {
    docker compose --file docker/compose.yaml "$@"
}

started=false

clean_up() {
    status=$?
    trap '' INT TERM
    wait
    if $started; then
        compose rm --stop --force test
    fi
    exit "$status"
}
trap clean_up EXIT
# Ctrl-C reaches pytest as well, a signal to this script alone is passed on: either way it tidies up.
trap 'exit 130' INT
# A signal may come before the next command, so no variable names the tests: $! does from their start.
trap 'if [[ -n ${!-} ]]; then kill -INT "$!" 2>/dev/null || true; fi; exit 143' TERM

running=$(compose ps --quiet --status running test)
if [[ -z $running ]]; then
    started=true
    compose up --detach --wait test
fi

export DATABASE_URL_TEST=postgresql://homethrive_test:test_password@localhost:5433/homethrive_test

# In the background, as bash hears of signals only between commands; with the standard input for
# --pdb, and with a SIGINT that is not ignored.
(trap - INT TERM EXIT && exec python -m pytest "$@") <&0 &
wait "$!"

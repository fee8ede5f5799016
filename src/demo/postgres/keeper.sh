# Keeps one private PostgreSQL cluster for as long as stdin is open.
# Arguments: the bin directory, the base directory, the superuser, the plain role that owns the
# database, the settings, and the port of the server that this one is to be a standby of, if any.
# Says on stdout: its directory, then the postmaster's pid once the server is ready. Each line
# on stdin makes it start the server again, and say the pid again.
# Exits 0 when all is gone again, and otherwise with the reason on stderr.
bin=$1 base=$2 superuser=$3 owner=$4 settings=$5 primary=$6
umask 077
# The one that we talk to may be dead already; there is still something to clean up.
trap '' PIPE
trap 'exit 1' HUP INT TERM

finish() {
    result=$?
    trap '' HUP INT TERM
    if [ -e "$directory/data/postmaster.pid" ]; then
        "$bin/pg_ctl" stop -s -D "$directory/data" -m fast -t 10 ||
            "$bin/pg_ctl" stop -s -D "$directory/data" -m immediate -t 10 ||
            kill -9 "$(head -n 1 "$directory/data/postmaster.pid")"
    fi </dev/null >/dev/null 2>&1
    cd / && rm -rf "$directory" || result=1
    exit "$result"
}

directory=$(mktemp -d "$base/posthorn-pg.XXXXXX") || exit 1
trap finish EXIT
cd "$directory" || exit 1
echo "$directory"

start() {
    if ! "$bin/pg_ctl" start -s -w -t 60 -D "$directory/data" -l log </dev/null >/dev/null; then
        tail -n 20 log >&2
        exit 1
    fi
    head -n 1 data/postmaster.pid
}

if [ -n "$primary" ]; then
    "$bin/pg_basebackup" -D data -h 127.0.0.1 -p "$primary" -U "$superuser" -c fast -R --no-sync \
        </dev/null >/dev/null || exit 1
else
    "$bin/initdb" -D data -U "$superuser" -A trust -E UTF8 --locale=C --no-sync \
        </dev/null >/dev/null || exit 1
    # Before anybody can connect, and without psql, which servers' packages may lack.
    printf '%s\n' "CREATE ROLE $owner LOGIN;" "ALTER DATABASE postgres OWNER TO $owner;" |
        "$bin/postgres" --single -F -D data -c exit_on_error=true postgres >/dev/null || exit 1
fi
printf '%s\n' "$settings" >>data/postgresql.conf || exit 1
start
while read -r _; do
    # It was killed, and could not remove its lock; a number may be another process by now.
    rm -f data/postmaster.pid
    start
done
exit 0

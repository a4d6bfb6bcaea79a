# SPDX-License-Identifier: MIT
# PostgreSQL: a new cluster, a server with its processes, queries of two clients at once, a crash and what is found afterwards. Run by bash.
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
if [ "$(id -u)" = 0 ]; then # it does not run as root, but as nobody
	exec setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/ bash -s < "$0"
fi
cd "$(mktemp -d)" || exit 1
export PGHOST=$PWD/pg PGDATABASE=postgres PGUSER=me LC_ALL=C
mkdir pg
"$bin/initdb" -D pg/db -N -U me -A trust --no-instructions > pg/log 2>&1 || { echo "initdb failed"; tail -5 pg/log; exit 1; }
cat >> pg/db/postgresql.conf <<-EOF
	listen_addresses = ''
	unix_socket_directories = '$PWD/pg'
	shared_buffers = 4MB
	max_connections = 10
	fsync = on
	timezone = UTC
EOF
start() { "$bin/pg_ctl" -D pg/db -l pg/log -w -t 100 -s start || { echo "no start"; tail -5 pg/log; exit 1; }; }
sql() { "$bin/psql" -X -q -A -t -c "$1"; }
start
sql "create table t(a int primary key, b int, c text); insert into t select i, (i * 7919) % 10007, 'row ' || i from generate_series(1, 20000) i;
     create index tb on t(b); analyze t"
sql "select count(*), sum(b), min(c), max(c) from t"
sql "select b % 5, count(*), avg(a)::int from t group by 1 order by 1" & sql "update t set c = c || '!' where b < 100"
wait
sql "select a, c from t where b between 50 and 56 order by b, a"
sql "select count(*) from t x join t y on x.a = y.b where x.b > 5000"
sql "begin; delete from t where a > 10; select count(*) from t; rollback"
sql "select 1 / 0" 2>&1 | grep -o "division by zero"
kill -KILL "$(head -1 pg/db/postmaster.pid)"
for i in $(seq 100); do [ -n "$(ls pg/.s.PGSQL.5432 2> /dev/null)" ] && ! sql "select 1" > pg/out 2>&1 && break; sleep 0.1; done
sleep 1
rm -f pg/db/postmaster.pid pg/.s.*
start
sql "select count(*), sum(b) from t; select count(*) from t where c like '%!'"
"$bin/pg_ctl" -D pg/db -s -m fast stop && echo stopped
grep -c "PANIC" pg/log
rm -rf "$PWD"

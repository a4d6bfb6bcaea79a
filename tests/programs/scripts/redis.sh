# SPDX-License-Identifier: MIT
# redis-server on loopback: a load, a background save in the middle of it, a restart from what was saved. Run by bash.
mkdir data
start() {
	for _ in 1 2 3 4 5; do
		port=$((20000 + (RANDOM * 32768 + RANDOM + $(date +%N | sed 's/^0*//')) % 40000))
		redis-server --port $port --bind 127.0.0.1 --dir data --save '' --appendonly no --logfile log \
			--enable-debug-command local --daemonize no > /dev/null 2>&1 &
		server=$!
		for _ in $(seq 1000); do
			[ "$(redis-cli -p $port ping 2> /dev/null)" = PONG ] && return 0
			kill -0 $server 2> /dev/null || break
			sleep 0.1
		done
	done
	echo "no server"; exit 1
}
cli() { redis-cli -p $port "$@"; }
field() { cli info persistence | tr -d '\r' | sed -n "s/^$1://p"; }
start
seq 1 3000 | sed 's/.*/SET k& value-&-&/' | cli --pipe | tail -1 | tr -d '\r'
cli mset a 1 b 2; cli get k77; cli dbsize
redis-benchmark -p $port -q -n 3000 -c 8 -P 4 -r 500 -t set,incr,lpush,sadd > /dev/null 2>&1 &
load=$!
cli bgsave
wait $load; echo "load $?"
for _ in $(seq 1000); do [ "$(field rdb_bgsave_in_progress)" = 0 ] && break; sleep 0.1; done
echo "save $(field rdb_last_bgsave_status)"
before=$(cli debug digest)
cli bgsave > /dev/null
for _ in $(seq 1000); do [ "$(field rdb_bgsave_in_progress)" = 0 ] && break; sleep 0.1; done
echo "copied some $([ "$(field rdb_last_cow_size)" -gt 0 ] && echo yes)"
cli lrange mylist 0 0 | wc -l; cli eval 'return redis.call("dbsize") > 3000' 0
cli shutdown nosave; wait $server; echo "server $?"
start
[ "$before" = "$(cli debug digest)" ] && echo "the same after a restart"
cli get k2999
cli shutdown nosave; wait $server; echo "server $?"
rm -r data

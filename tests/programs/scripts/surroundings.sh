# SPDX-License-Identifier: MIT
# What starts other programs with other surroundings: nohup, setsid, timeout, env, nice, stdbuf, xargs, coproc, disown. Run by bash.
exec 2> /dev/null
nohup sh -c 'kill -HUP $$; echo "nohup: alive"' < /dev/null
setsid sh -c 'p=$(ps -o sid= -p $$); [ $p = $$ ] && echo "setsid: leads"' ; setsid -w sh -c 'exit 7'; echo "setsid -w $?"
timeout 0.2 sleep 20; echo "timeout $?"; timeout -s KILL 0.2 sleep 20; echo "timeout KILL $?"; timeout --foreground 0.2 sleep 20; echo "foreground $?"
timeout --preserve-status 0.2 sleep 20; echo "preserve $?"; timeout 20 sh -c 'exit 4'; echo "in time $?"
timeout -s WINCH -k 0.2 0.2 sleep 20; echo "stubborn $?" # a signal that ends nobody, at any moment
env -i A=1 sh -c 'env | sort | grep -v ^_ | grep -v PWD'; env -u HOME sh -c 'echo "home ${HOME-none}"'; env -C / pwd
n=$(nice); echo "nice $(($(nice -n 5 nice) - n))"; nice -n 3 sh -c 'nice -n 4 nice' | sed "s/^/nested /"
stdbuf -oL sh -c 'echo line; echo two' | cat; stdbuf -o0 printf 'a\nb\n' | wc -l
seq 1 30 | xargs -P 5 -I{} sh -c 'exit $(({} % 7 == 0))'; echo "xargs $?"; seq 1 9 | xargs -P 0 -n 2 | sort | md5sum; echo a | xargs sh -c 'kill $$'; echo "killed $?"
coproc CAT { while read -r x; do echo "<$x>"; done; }; echo one >&"${CAT[1]}"; read -r y <&"${CAT[0]}"; echo "coproc $y"; p=$CAT_PID; exec {CAT[1]}>&-; wait $p; echo "coproc ends $?"
coproc tr a-z A-Z; p=$COPROC_PID; exec 5<&"${COPROC[0]}"; echo shout >&"${COPROC[1]}"; eval "exec ${COPROC[1]}>&-"; cat <&5; wait $p; echo "tr $?"
sleep 30 & p=$!; disown $p; jobs | wc -l; kill -0 $p && kill $p; echo "disowned $?"
bash -c '(trap "" HUP; sleep 0.3; echo "left behind" > left) & disown; exit 0'; while [ ! -s left ]; do sleep 0.05; done; cat left; rm left
bash -mc 'sleep 20 & kill -STOP %1; until grep -q "State:.T" /proc/$!/status; do sleep 0.05; done; echo stopped; kill -CONT %1; while grep -q "State:.T" /proc/$!/status; do sleep 0.05; done; echo runs; kill %1; wait %1; echo $?'
(ulimit -n 20; ulimit -n; ulimit -c 0; ulimit -c); flock -n lock sh -c 'flock -n lock true; echo "locked $?"'; rm -f lock
setsid sh -c 'sleep 0.1; echo "after its parent"' | cat

# SPDX-License-Identifier: MIT
# Traps, background jobs, wait in its forms. Run by bash.
exec 2> /dev/null # a killed job is told there with its process id
trap 'echo "exit trap $?"' EXIT
trap 'echo usr1' USR1
kill -USR1 $$; echo after
(trap 'echo "subshell trap"; exit 4' TERM; kill -TERM $BASHPID; echo no); echo "subshell $?"
sleep 30 & p=$!; sleep 0.2; kill $p; wait $p; echo "killed $?"
sh -c 'kill -KILL $$'; echo "by itself $?"
(sleep 0.1; exit 5) & (exit 6) & wait %1; echo "first $?"; wait %2; echo "second $?"
for i in 3 1 2; do (sleep 0.0$i; exit $i) & done; s=0; for i in 1 2 3; do wait -n; s=$((s + $?)); done; echo "any three $s"
(trap '' INT; kill -INT $BASHPID; echo "ignored"); trap 'echo err' ERR; false; trap - ERR
# again and again: the first may come before the wait
trap : USR1; while [ ! -e told ]; do sleep 0.05; kill -USR1 $$; done & wait $!; echo "interrupted $?"; : > told; while ! wait; do :; done; rm told
exec 3>&1; r=$( (echo inner >&3; echo captured) ); echo "r $r"
(set -e; false; echo no) ; echo "set -e $?"
bash -c 'trap "echo quit >&2; exit 9" QUIT; kill -QUIT $$; sleep 1'; echo "quit $?"
( (sleep 0.02; echo "orphan done") & ) | cat
exit 12

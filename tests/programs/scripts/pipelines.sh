# SPDX-License-Identifier: MIT
# Pipelines, subshells, substitution, redirection, here-documents: what a shell does all day. Run by bash.
sort -k3 text | awk '{ print $3 }' | uniq -c | sort -rn | head -5
grep -c fox text; cat text | wc -l
false | true; echo "status ${PIPESTATUS[*]}"
(cd tree && ls -R . | md5sum); pwd | grep -c tree
x=$(echo one; echo two) ; echo "$x" | tr '\n' ,; echo
for i in 1 2 3; do echo "$i" | { read -r n; echo $((n * n)); }; done | paste -sd+ | bc
diff <(sort text) <(sort text2) | grep -c '^[<>]'
cat <<END | sed 's/a/A/g'
here is a document
of $((6 * 7)) words
END
{ echo out; echo err >&2; } 2>&1 | sort
tee copy1 copy2 < short > /dev/null; cmp copy1 copy2 && cmp copy1 short && echo same; rm copy1 copy2
f() { return 7; }; (f); echo "function $?"; (exit 3) || echo "subshell $?"
yes | head -1000 | wc -l
seq 1 20000 | shuf --random-source=binary | sort -n | md5sum
find tree -type f | xargs -n 2 wc -c | tail -3
find tree -type f -print0 | xargs -0 -P 3 -n 1 md5sum | sort
exec 5< short; read -r line <&5; echo "$line"; exec 5<&-
mkfifo queue; (for i in 1 2 3; do echo "item $i"; done > queue) & while read -r l; do echo "got $l"; done < queue; wait; rm queue
coproc cat; echo through >&"${COPROC[1]}"; read -r r <&"${COPROC[0]}"; echo "coprocess $r"; exec {COPROC[1]}>&-; wait
time_out=$(timeout 0.2 sleep 5; echo $?); echo "timeout $time_out"
(ulimit -n 20; ulimit -n); ulimit -n | grep -c '^20$'
env -i A=1 B=2 bash -c 'echo $A$B; exec env' | sort | grep -E '^[AB]='
nohup true 2>&1 | tail -1; setsid true; echo "last $?"

# SPDX-License-Identifier: MIT
# The same by dash and by busybox: no bashism.
sort text | cut -d' ' -f3 | uniq | wc -l
ls tree | while read -r d; do echo "$d $(ls tree/$d | wc -l)"; done
i=0; while [ $i -lt 30 ]; do echo $i; i=$((i + 1)); done | grep 7 | xargs echo
(exit 4); echo $?; (sleep 0.05; echo background) & wait
trap 'echo trapped' TERM; kill -TERM $$
v=$(cat short | head -2 | tail -1 | cut -c1-6); echo "v $v"
find tree -name 'f1*' | sort | xargs cat | md5sum
cat short | tee one | md5sum; md5sum < one; rm one
seq 5 | sed 's/$/x/' | tr '\n' ' '; echo
gzip -c text | gunzip -c | cmp - text && echo same
tar cf - tree | tar tf - | sort | tail -2
{ false || echo or; } && echo and
sh -c 'kill -9 $$'; echo "status $?"

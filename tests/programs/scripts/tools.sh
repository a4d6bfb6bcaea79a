# SPDX-License-Identifier: MIT
# Tools that ask about processes, locks, limits, scheduling and System V objects: what they print is the same on every run.
touch lock
flock -x lock sh -c 'flock -n lock true; echo "busy $?"; flock -w 0.1 lock true; echo "still $?"'
flock lock lslocks -n --raw -o COMMAND,TYPE,MODE | grep '^flock FLOCK WRITE' | head -1
prlimit --core=5:6 sh -c 'ulimit -c; ulimit -Hc'
cpu=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//') # one that we may use
sleep 600 &
p=$!
until [ "$(cat /proc/$p/comm)" = sleep ]; do sleep 0.05; done
prlimit --pid $p --core=7:8
prlimit --pid $p --core --raw --noheadings -o RESOURCE,SOFT,HARD
chrt -b -p 0 $p
chrt -p $p | sed "s/$p/P/"
taskset -c -p $cpu $p | tail -1 | sed "s/$p/P/"
renice -n 5 -p $p | sed "s/$p/P/"
ionice -c2 -n3 -p $p
ionice -p $p
ps -o ni,comm -p $p
kill $p
wait $p
echo "ended $?"
nice -n 4 nice
timeout 0.2 sleep 20
echo "timeout $?"
timeout -s WINCH -k 0.1 0.1 sleep 20 >/dev/null 2>&1
echo "timeout $?"
setsid -w sh -c 'exit 7'
echo "session $?"
s=$(ipcmk -S 3 | sed 's/.* //')
q=$(ipcmk -Q | sed 's/.* //')
m=$(ipcmk -M 8192 | sed 's/.* //')
ipcs -s -i $s | grep -c nsems
ipcs -q -i $q | grep qnum
ipcs -m -i $m | grep bytes | sed 's/cpid=[0-9]*/cpid=P/'
ipcrm -s $s -q $q -m $m
ipcs -s -i $s 2>&1 | grep -c "not found\|Invalid"
perl -e 'use IPC::SysV qw(:all); use IPC::Semaphore; use IPC::Msg; use IPC::SharedMem;
$s = IPC::Semaphore->new(IPC_PRIVATE, 3, 0600 | IPC_CREAT) or die; $s->setall(1, 2, 3); print join(",", $s->getall), "\n";
$s->op(0, -1, 0); print $s->getval(0), " ", $s->getpid(0) == $$ ? 1 : 0, " ", $s->stat->nsems, "\n"; $s->remove;
$m = IPC::Msg->new(IPC_PRIVATE, 0600) or die; $m->snd(5, "hello"); $m->snd(2, "x"); print $m->stat->qnum, "\n";
print $m->rcv($b, 100, -4), " $b\n"; print $m->rcv($b, 100), " $b\n"; $m->remove;
$h = IPC::SharedMem->new(IPC_PRIVATE, 100, 0600); $h->write("abc", 5, 3); print $h->read(5, 3), "\n"; $h->remove;'
/usr/bin/python3 -c '
import asyncio, os, select, signal, socket, struct, subprocess
p = subprocess.Popen(["sleep", "600"])
fd = os.pidfd_open(p.pid)
signal.pidfd_send_signal(fd, signal.SIGTERM)
print(select.select([fd], [], [], 100)[0] == [fd], os.waitid(os.P_PIDFD, fd, os.WEXITED).si_status)
async def main():
    q = await asyncio.create_subprocess_exec("sh", "-c", "echo from a child; exit 3", stdout=asyncio.subprocess.PIPE)
    print((await q.communicate())[0], q.returncode)
asyncio.run(main())
a, b = socket.socketpair()
print(struct.unpack("3i", b.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0] == os.getpid())'
rm lock

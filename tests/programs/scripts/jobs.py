# SPDX-License-Identifier: MIT
# A shell with job control at a terminal: stop, background, foreground, interrupt, suspend a pipeline.
#
# A key is typed when all programs of the job run. Earlier it is lost on every system: the shell gives the terminal to a job's group as soon as
# it has forked, and until the child has run its first steps it ignores the keys' signals, as the shell does. (Natively:
# strace -f -e inject=set_robust_list:delay_enter=700000 bash -i.)
# Nothing here ends of itself while it is waited for, and PATIENCE is beyond what a loaded machine with too little memory needs: who waits so
# long waits in vain, and then says in what state everybody is.
import os
import pty
import re
import select
import sys
import time

PATIENCE = 200  # seconds; run.py waits for 400


def shell():
    pid, fd = pty.fork()
    if pid == 0:
        os.environ['PS1'] = '@> '
        os.execvp('bash', ['bash', '--norc', '--noediting', '-i'])
    return pid, fd


def give_up(fd, what):
    print('waited in vain for', what)
    print('in front:', os.tcgetpgrp(fd))
    for n in sorted(filter(str.isdigit, os.listdir('/proc')), key=int):
        try:
            with open('/proc/%s/stat' % n) as f:
                print(' '.join(f.read().split()[:8]))  # its state, parent, group, session, terminal, the group in front
            with open('/proc/%s/status' % n) as f:
                print('   ', ' '.join(l.replace('\t', ' ').strip() for l in f if l[:3] in ('Sig', 'Shd', 'VmS')))
        except OSError:
            continue  # it has ended
    sys.exit(1)


def until(fd, pattern):
    text, end = '', time.monotonic() + PATIENCE
    while not re.search(pattern, text):
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        if not ready:
            give_up(fd, '%s after %r' % (pattern, text[-200:]))
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        if not part:
            break
        text += part.decode('utf-8', 'replace')
    return text


def programs(group):
    """The names of a group's programs, sorted."""
    out = []
    for n in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % n) as f:
                name, rest = re.match(r'\d+ \((.*)\) (.*)', f.read()).groups()
        except (OSError, AttributeError):
            continue  # it has ended
        if int(rest.split()[2]) == group:
            out.append(name)
    return sorted(out)


def until_running(fd, names):
    end = time.monotonic() + PATIENCE
    while programs(os.tcgetpgrp(fd)) != names:
        if time.monotonic() > end:
            give_up(fd, '%s in %s' % (names, programs(os.tcgetpgrp(fd))))
        time.sleep(0.01)


def tidy(text):
    text = re.sub(r'\x1b\[\?2004[hl]\r?', '', text).replace('\r', '')
    text = re.sub(r'\[(\d)\] \d+', r'[\1] PID', text)
    return '\n'.join(line.rstrip() for line in text.split('\n'))


pid, fd = shell()
until(fd, '@> $')
for line, after in (('stty -echo', ''), ('tty | grep -c /dev/', ''), ('sleep 600', 'sleep \x1a'), ('jobs', ''), ('bg', ''), ('jobs', ''),
                    ('kill %1; wait %1; echo "ended $?"', ''), ('sleep 600 | cat', 'cat sleep \x03'), ('echo "interrupted $?"', ''),
                    ('cat', 'cat typed\n\x04'), ('sleep 600 & fg', 'sleep \x03'), ('echo "interrupted again $?"', ''),
                    ('sleep 500 & sleep 501 &', ''), ('jobs -l | wc -l', ''),
                    ('kill %1 %2', ''), ('wait; echo waited', ''), ('(sleep 600; echo no)', 'bash sleep \x1a'), ('kill -9 %%; sleep 0.3', ''),
                    ('set -o | grep monitor', ''), ('stty size >/dev/null && echo sized', '')):
    os.write(fd, line.encode() + b'\n')
    if after:
        names, _, keys = after.rpartition(' ')
        until_running(fd, names.split())
        os.write(fd, keys.encode())
    text = until(fd, '@> $')
    # when the end of a killed job is told is up to the shell
    text = re.sub(r'\[\d\][-+ ]*(Terminated|Killed)[^\n]*\n?', '', tidy(text))
    print('%s -> %s' % (line, text.replace('@>', '').strip()))
os.write(fd, b'exit 6\n')
until(fd, 'exit')
try:
    while os.read(fd, 1000):
        pass
except OSError:
    pass
print('status', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

# SPDX-License-Identifier: MIT
# A shell with job control at a terminal: stop, background, foreground, interrupt, suspend a pipeline.
import os
import pty
import re
import select
import sys
import time


def shell():
    pid, fd = pty.fork()
    if pid == 0:
        os.environ['PS1'] = '@> '
        os.execvp('bash', ['bash', '--norc', '--noediting', '-i'])
    return pid, fd


def until(fd, pattern, seconds=60):
    text, end = '', time.monotonic() + seconds
    while not re.search(pattern, text):
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        if not ready:
            print('waited in vain for', pattern, 'after', repr(text[-200:]))
            sys.exit(1)
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        if not part:
            break
        text += part.decode('utf-8', 'replace')
    return text


def tidy(text):
    text = re.sub(r'\x1b\[\?2004[hl]\r?', '', text).replace('\r', '')
    text = re.sub(r'\[(\d)\] \d+', r'[\1] PID', text)
    return '\n'.join(line.rstrip() for line in text.split('\n'))


pid, fd = shell()
until(fd, '@> $')
for line, after in (('stty -echo', ''), ('tty | grep -c /dev/', ''), ('sleep 60', '\x1a'), ('jobs', ''), ('bg', ''), ('jobs', ''),
                    ('kill %1; wait %1; echo "ended $?"', ''), ('sleep 60 | cat', '\x03'), ('echo "interrupted $?"', ''),
                    ('cat', 'typed\n\x04'), ('sleep 0.2 & fg', ''), ('sleep 50 & sleep 51 &', ''), ('jobs -l | wc -l', ''),
                    ('kill %1 %2', ''), ('wait; echo waited', ''), ('(sleep 60; echo no)', '\x1a'), ('kill -9 %%; sleep 0.3', ''),
                    ('set -o | grep monitor', ''), ('stty size >/dev/null && echo sized', '')):
    os.write(fd, line.encode() + b'\n')
    if after:
        time.sleep(0.7)
        os.write(fd, after.encode())
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

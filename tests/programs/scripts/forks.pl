# SPDX-License-Identifier: MIT
# Perl: fork, wait, pipes, signals, backticks, system, open to a command.
use strict; use warnings; use POSIX ':sys_wait_h';
$| = 1;
my @kids;
for my $i (1 .. 5) {
	my $p = fork() // die; if (!$p) { select(undef, undef, undef, 0.01 * (6 - $i)); exit $i }
	push @kids, $p;
}
my $sum = 0;
for (@kids) { waitpid($_, 0); $sum += $? >> 8 }
print "sum $sum\n";
pipe(my $r, my $w) or die;
if (!fork()) { close $r; print $w "line $_\n" for 1 .. 1000; close $w; exit 0 }
close $w; my @l = <$r>; wait; print scalar(@l), " $l[-1]";
print `echo back; exit 3`, $? >> 8, "\n";
system('exit 5'); print $? >> 8, "\n";
open(my $f, '-|', 'sort', '-r', 'short') or die; my $first = <$f>; print $first; close $f;
open(my $t, '|-', 'tr a-z A-Z') or die; print $t "upper\n"; close $t;
my $got = 0; $SIG{USR1} = sub { $got++ };
my $p = fork() // die; if (!$p) { kill 'USR1', getppid(); exit 0 }
waitpid($p, 0); print "signals $got\n";
$SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0; $got = 10 };
if (!fork()) { exit 0 } sleep 2 while $got != 10; print "child told\n";
$p = fork() // die; if (!$p) { $SIG{ALRM} = 'DEFAULT'; alarm 1; sleep 100; exit 0 }
$SIG{CHLD} = 'DEFAULT'; waitpid($p, 0); print 'by ', $? & 127, "\n";
my %h = map { $_ => $_ * 2 } 1 .. 20000; if (!fork()) { $h{$_}++ for 1 .. 20000; my $s = 0; $s += $_ for values %h; print "child $s\n"; exit 0 }
wait; my $s = 0; $s += $_ for values %h; print "parent $s\n";

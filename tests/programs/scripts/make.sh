# SPDX-License-Identifier: MIT
# A C project of a few files, built by make -j2 with gcc, run, and built again after a change. Run by sh.
set -e
mkdir project && cd project
for m in one two three four; do
	printf '#include "all.h"\n#include <stdio.h>\n#include <string.h>\nint %s(const char *s)\n{\n\tint h = %d;\n\tfor (; *s; s++)\n\t\th = h * 31 + *s;\n\tprintf("%s %%d %%zu\\n", h, strlen(s));\n\treturn h %% 7;\n}\n' \
		$m ${#m} $m > $m.c
done
printf 'int one(const char *);\nint two(const char *);\nint three(const char *);\nint four(const char *);\n' > all.h
printf '#include "all.h"\nint main(void)\n{\n\treturn one("a") + two("bc") + three("def") + four("ghij");\n}\n' > main.c
printf 'OBJECTS = main.o one.o two.o three.o four.o\nprogram: $(OBJECTS)\n\t@$(CC) -o $@ $(OBJECTS)\n\t@echo linked\n%%.o: %%.c all.h\n\t@$(CC) -O1 -c -o $@ $<\n\t@echo compiled >> log\n' > Makefile
make -s -j2 CC=gcc
sort log | uniq -c
./program || echo "status $?"
sleep 1.1; touch two.c; rm log
make -s -j2 CC=gcc
sort log | uniq -c
echo 'int broken(' >> three.c
make -s CC=gcc 2> errors || echo "make failed with $?"
grep -c error: errors
gcc -O2 -o - -S one.c | grep -c one
cd .. && rm -r project

#include "ui/heap.h"
void pg_heap_svg(const struct pg_heap_show *s, FILE *out){}

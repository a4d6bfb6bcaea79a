#include "ui/heap.h"
void pg_heap_json(const struct pg_heap_show *s, FILE *out){}

/* SPDX-License-Identifier: MIT */
/*
 * trace/value.c: values of C's types, written as a debugger writes them, but short.
 *
 * Called by variables.c. A struct or array shows its first members and elements; a pointer to char shows the string as far as it is in
 * memory. Owns nothing.
 */
#include "trace/value.h"

#include <dwarf.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/location.h"

#define MOST_ELEMENTS 8
#define MOST_MEMBERS 8
#define MOST_DEPTH 3
#define MOST_CHARS 48

/* A text that ends with "..." where it is full. */
struct text {
	char s[400];
	size_t n;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *format, ...)
{
	size_t left = sizeof t->s - t->n;
	va_list args;

	va_start(args, format);
	int n = vsnprintf(t->s + t->n, left, format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < left) {
		t->n += (size_t)n;
		return;
	}
	t->n = sizeof t->s - 1;
	memcpy(t->s + sizeof t->s - 4, "...", 4);
}

static bool full(const struct text *t)
{
	return t->n >= sizeof t->s - 4;
}

/* --- types --------------------------------------------------------------------------------------- */

/* The type that a DIE's DW_AT_type names. */
static bool type_of(Dwarf_Die *die, Dwarf_Die *out)
{
	Dwarf_Attribute a;

	return dwarf_formref_die(dwarf_attr_integrate(die, DW_AT_type, &a), out) != NULL;
}

bool pg_type_strip(Dwarf_Die *type)
{
	for (;;) {
		switch (dwarf_tag(type)) {
		case DW_TAG_typedef:
		case DW_TAG_const_type:
		case DW_TAG_volatile_type:
		case DW_TAG_restrict_type:
		case DW_TAG_atomic_type: {
			Dwarf_Die next;

			if (!type_of(type, &next))
				return false;
			*type = next;
			break;
		}
		default:
			return true;
		}
	}
}

uint64_t pg_type_bytes(Dwarf_Die *type)
{
	Dwarf_Word n;

	return dwarf_aggregate_size(type, &n) == 0 ? n : 0;
}

/* Elements of one dimension; false: not a constant. */
static bool dimension(Dwarf_Die *range, uint64_t *count)
{
	Dwarf_Attribute a;
	Dwarf_Word n;

	if (dwarf_formudata(dwarf_attr(range, DW_AT_count, &a), &n) == 0) {
		*count = n;
		return true;
	}
	if (dwarf_formudata(dwarf_attr(range, DW_AT_upper_bound, &a), &n) == 0) {
		*count = n + 1;
		return true;
	}
	return false;
}

static bool is_pointer(Dwarf_Die *type)
{
	int tag = dwarf_tag(type);

	return tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type ||
	       tag == DW_TAG_rvalue_reference_type;
}

static void add_type(struct text *t, Dwarf_Die *type, unsigned depth)
{
	Dwarf_Die inner, range;
	const char *name = dwarf_diename(type);
	int tag = dwarf_tag(type);
	uint64_t n;

	if (depth > 8) {
		add(t, "...");
		return;
	}
	switch (tag) {
	case DW_TAG_const_type:
	case DW_TAG_volatile_type:
	case DW_TAG_restrict_type:
	case DW_TAG_atomic_type:
		name = tag == DW_TAG_const_type      ? "const"
		       : tag == DW_TAG_volatile_type ? "volatile"
		       : tag == DW_TAG_atomic_type   ? "_Atomic"
						     : "restrict";
		bool known = type_of(type, &inner);
		bool pointer = known && is_pointer(&inner);
		/* what an array's elements are says their own type */
		if (!pointer && !(known && dwarf_tag(&inner) == DW_TAG_array_type))
			add(t, "%s ", name);
		if (known)
			add_type(t, &inner, depth + 1);
		else
			add(t, "void");
		if (pointer) /* it is the pointer that is const */
			add(t, "%s", name);
		return;
	case DW_TAG_pointer_type:
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
		if (type_of(type, &inner))
			add_type(t, &inner, depth + 1);
		else
			add(t, "void");
		if (t->n && t->s[t->n - 1] != '*')
			add(t, " ");
		add(t, tag == DW_TAG_pointer_type ? "*" : "&");
		return;
	case DW_TAG_array_type:
		if (type_of(type, &inner))
			add_type(t, &inner, depth + 1);
		add(t, " ");
		for (int more = dwarf_child(type, &range); more == 0;
			more = dwarf_siblingof(&range, &range)) {
			if (dwarf_tag(&range) != DW_TAG_subrange_type)
				continue;
			if (dimension(&range, &n))
				add(t, "[%" PRIu64 "]", n);
			else
				add(t, "[]");
		}
		return;
	case DW_TAG_subroutine_type:
		add(t, "function");
		return;
	case DW_TAG_structure_type:
		add(t, "struct %s", name ? name : "{...}");
		return;
	case DW_TAG_class_type:
		add(t, "class %s", name ? name : "{...}");
		return;
	case DW_TAG_union_type:
		add(t, "union %s", name ? name : "{...}");
		return;
	case DW_TAG_enumeration_type:
		add(t, "enum %s", name ? name : "{...}");
		return;
	default:
		add(t, "%s", name ? name : "?");
	}
}

char *pg_type_name(Dwarf_Die *type)
{
	struct text t = {.n = 0};

	if (type)
		add_type(&t, type, 0);
	else
		add(&t, "void");
	return strdup(t.s);
}

/* --- values -------------------------------------------------------------------------------------- */

static uint64_t load(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n > 8 ? 8 : n);
	return v;
}

static int64_t load_signed(const uint8_t *p, size_t n)
{
	unsigned gone = n >= 8 ? 0 : 64 - 8 * (unsigned)n;

	return (int64_t)(load(p, n) << gone) >> gone;
}

static void add_char(struct text *t, unsigned c, char quote)
{
	if (c == (unsigned char)quote || c == '\\')
		add(t, "\\%c", (int)c);
	else if (c == '\n')
		add(t, "\\n");
	else if (c == '\t')
		add(t, "\\t");
	else if (c >= 0x20 && c < 0x7f)
		add(t, "%c", (int)c);
	else
		add(t, "\\%03o", c);
}

/* A C string in bytes[n]; ends at its NUL. whole: nothing was cut off behind. */
static void add_string(struct text *t, const uint8_t *bytes, size_t n, bool whole)
{
	size_t len = strnlen((const char *)bytes, n), shown = len < MOST_CHARS ? len : MOST_CHARS;

	add(t, "\"");
	for (size_t i = 0; i < shown; i++)
		add_char(t, bytes[i], '"');
	add(t, "\"%s", shown < len || (len == n && !whole) ? "..." : "");
}

/* What a pointer to char points to, up to the first page that is not in memory. */
static void add_pointed(struct text *t, struct pg_space *space, uint64_t at)
{
	uint8_t buffer[MOST_CHARS + 1];
	size_t n = sizeof buffer, page = (size_t)(PG_PAGE_SIZE - (at & PG_PAGE_MASK));

	if (at == 0)
		return;
	if (!pg_trace_peek(space, at, buffer, n)) {
		if (page >= n || !pg_trace_peek(space, at, buffer, n = page))
			return;
	}
	add(t, " ");
	add_string(t, buffer, n, false);
}

static bool is_char(Dwarf_Die *type)
{
	Dwarf_Attribute a;
	Dwarf_Word encoding;

	return dwarf_tag(type) == DW_TAG_base_type && pg_type_bytes(type) == 1 &&
	       dwarf_formudata(dwarf_attr(type, DW_AT_encoding, &a), &encoding) == 0 &&
	       (encoding == DW_ATE_signed_char || encoding == DW_ATE_unsigned_char);
}

static void add_real(struct text *t, const uint8_t *p, uint64_t size)
{
	if (size == 4) {
		float v;

		memcpy(&v, p, sizeof v);
		add(t, "%.9g", (double)v);
	} else if (size == 8) {
		double v;

		memcpy(&v, p, sizeof v);
		add(t, "%.17g", v);
	} else if (size == 16) {
		long double v = 0;

		memcpy(&v, p, 10);
		add(t, "%.18Lg", v);
	} else {
		add(t, "?");
	}
}

static void add_base(struct text *t, Dwarf_Die *type, const uint8_t *p, uint64_t size)
{
	Dwarf_Attribute a;
	Dwarf_Word encoding = 0;

	dwarf_formudata(dwarf_attr(type, DW_AT_encoding, &a), &encoding);
	if (encoding == DW_ATE_float) {
		add_real(t, p, size);
		return;
	}
	if (size > 8) {
		add(t, "0x");
		for (size_t i = size; i-- > 0;)
			add(t, "%02x", p[i]);
		return;
	}
	switch (encoding) {
	case DW_ATE_boolean:
		add(t, "%s", load(p, size) ? "true" : "false");
		break;
	case DW_ATE_signed_char:
	case DW_ATE_unsigned_char:
		if (encoding == DW_ATE_signed_char)
			add(t, "%" PRId64, load_signed(p, size));
		else
			add(t, "%" PRIu64, load(p, size));
		if (size == 1) {
			add(t, " '");
			add_char(t, p[0], '\'');
			add(t, "'");
		}
		break;
	case DW_ATE_signed:
		add(t, "%" PRId64, load_signed(p, size));
		break;
	default:
		add(t, "%" PRIu64, load(p, size));
	}
}

static void add_enum(struct text *t, Dwarf_Die *type, const uint8_t *p, uint64_t size)
{
	Dwarf_Die e;
	Dwarf_Attribute a;
	uint64_t v = load(p, size), mask = size >= 8 ? ~(uint64_t)0 : ((uint64_t)1 << 8 * size) - 1;

	for (int more = dwarf_child(type, &e); more == 0; more = dwarf_siblingof(&e, &e)) {
		Dwarf_Sword is;

		if (dwarf_tag(&e) == DW_TAG_enumerator &&
			dwarf_formsdata(dwarf_attr(&e, DW_AT_const_value, &a), &is) == 0 &&
			((uint64_t)is & mask) == v) {
			add(t, "%s", dwarf_diename(&e) ? dwarf_diename(&e) : "?");
			return;
		}
	}
	add(t, "%" PRIu64, v);
}

static void add_value(struct text *t, struct pg_space *space, Dwarf_Die *type, const uint8_t *p,
	size_t got, unsigned depth);

/* Elements of the dimension that starts at `range`; stride: bytes of one of them. */
static void add_array(struct text *t, struct pg_space *space, Dwarf_Die *type, const uint8_t *p,
	size_t got, unsigned depth)
{
	Dwarf_Die element, range;
	uint64_t count = 0, dimensions = 0, all = 1, n, size;

	if (!type_of(type, &element) || !pg_type_strip(&element)) {
		add(t, "{...}");
		return;
	}
	size = pg_type_bytes(&element);
	for (int more = dwarf_child(type, &range); more == 0;
		more = dwarf_siblingof(&range, &range)) {
		if (dwarf_tag(&range) != DW_TAG_subrange_type)
			continue;
		if (!dimension(&range, &n)) {
			add(t, "{of variable length}");
			return;
		}
		count = dimensions++ == 0 ? n : count;
		all *= n;
	}
	if (size == 0) {
		add(t, "{...}");
		return;
	}
	if (dimensions == 1 && is_char(&element)) {
		add_string(t, p, count < got ? count : got, count <= got);
		return;
	}
	add(t, "{");
	for (uint64_t i = 0; i < all; i++) {
		if (i == MOST_ELEMENTS || (i + 1) * size > got || full(t)) {
			add(t, "%s...", i ? ", " : "");
			break;
		}
		if (i)
			add(t, ", ");
		add_value(t, space, &element, p + i * size, size, depth + 1);
	}
	add(t, "}");
}

/* Bits of a member that is a bit field; false: it is none. */
static bool bit_field(Dwarf_Die *member, const uint8_t *p, size_t got, uint64_t *v, unsigned *bits)
{
	Dwarf_Attribute a;
	Dwarf_Word size, at, place = 0;

	if (dwarf_formudata(dwarf_attr(member, DW_AT_bit_size, &a), &size) != 0)
		return false;
	*v = 0;
	*bits = (unsigned)size;
	if (dwarf_formudata(dwarf_attr(member, DW_AT_data_bit_offset, &a), &at) != 0) {
		/* before DWARF 4: counted from the most significant end of a storage unit */
		Dwarf_Word unit = 0, high = 0;
		Dwarf_Die type;

		if (dwarf_formudata(dwarf_attr(member, DW_AT_bit_offset, &a), &high) != 0)
			return true;
		dwarf_formudata(dwarf_attr(member, DW_AT_data_member_location, &a), &place);
		if (dwarf_formudata(dwarf_attr(member, DW_AT_byte_size, &a), &unit) != 0 &&
			type_of(member, &type) && pg_type_strip(&type))
			unit = pg_type_bytes(&type);
		at = place * 8 + unit * 8 - high - size;
	}
	for (unsigned i = 0; i < size && i < 64; i++) {
		uint64_t bit = at + i;

		if (bit / 8 < got && (p[bit / 8] >> bit % 8 & 1))
			*v |= (uint64_t)1 << i;
	}
	return true;
}

static void add_struct(struct text *t, struct pg_space *space, Dwarf_Die *type, const uint8_t *p,
	size_t got, unsigned depth)
{
	Dwarf_Die member, inner;
	Dwarf_Attribute a;
	unsigned n = 0, bits;
	uint64_t v;

	if (depth >= MOST_DEPTH) {
		add(t, "{...}");
		return;
	}
	add(t, "{");
	for (int more = dwarf_child(type, &member); more == 0;
		more = dwarf_siblingof(&member, &member)) {
		const char *name = dwarf_diename(&member);
		Dwarf_Word at = 0;

		if (dwarf_tag(&member) != DW_TAG_member && dwarf_tag(&member) != DW_TAG_inheritance)
			continue;
		if (dwarf_hasattr(&member, DW_AT_external) || !type_of(&member, &inner) ||
			!pg_type_strip(&inner))
			continue; /* a static member lies elsewhere */
		if (n == MOST_MEMBERS || full(t)) {
			add(t, "%s...", n ? ", " : "");
			break;
		}
		add(t, "%s", n++ ? ", " : "");
		if (name)
			add(t, "%s = ", name);
		if (bit_field(&member, p, got, &v, &bits)) {
			add(t, "%" PRIu64, v);
			continue;
		}
		dwarf_formudata(dwarf_attr(&member, DW_AT_data_member_location, &a), &at);
		uint64_t size = pg_type_bytes(&inner);
		if (at >= got) {
			add(t, "...");
			continue;
		}
		add_value(t, space, &inner, p + at, size < got - at ? size : got - at, depth + 1);
	}
	add(t, "}");
}

/* type is stripped. */
static void add_value(struct text *t, struct pg_space *space, Dwarf_Die *type, const uint8_t *p,
	size_t got, unsigned depth)
{
	uint64_t size = pg_type_bytes(type);
	int tag = dwarf_tag(type);
	Dwarf_Die inner;

	switch (tag) {
	case DW_TAG_base_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_pointer_type:
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
	case DW_TAG_ptr_to_member_type:
		if (size == 0 && tag != DW_TAG_base_type)
			size = 8;
		if (size == 0 || size > got) {
			add(t, "?");
			return;
		}
		if (tag == DW_TAG_base_type) {
			add_base(t, type, p, size);
		} else if (tag == DW_TAG_enumeration_type) {
			add_enum(t, type, p, size);
		} else {
			add(t, "0x%" PRIx64, load(p, size));
			if (tag == DW_TAG_pointer_type && type_of(type, &inner) &&
				pg_type_strip(&inner) && is_char(&inner))
				add_pointed(t, space, load(p, size));
		}
		return;
	case DW_TAG_array_type:
		add_array(t, space, type, p, got, depth);
		return;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
		add_struct(t, space, type, p, got, depth);
		return;
	default:
		add(t, "?");
	}
}

char *pg_value_text(struct pg_space *space, Dwarf_Die *type, const uint8_t *bytes, size_t got)
{
	struct text t = {.n = 0};

	add_value(&t, space, type, bytes, got, 0);
	return strdup(t.s);
}

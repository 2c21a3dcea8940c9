/*
 * hotlist - the black list as a validator holds it: sorted card numbers, looked up by bisection. Text in,
 * "pan[,pan_to]" a line, so that ranges are possible; refused whole with a position when a line is wrong.
 */
#include "validator/validator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOTLIST_RANGES_MAX 4000000	/* 80 MB; a national list has some hundred thousand */
#define LINE_BYTES 64

struct range { uint8_t from[10], to[10]; };
struct hotlist { size_t count, space; bool fixed; struct range *range; };	/* fixed: in the caller's memory */

static void range_swap(struct range *a, struct range *b)
{
	struct range t = *a;

	*a = *b;
	*b = t;
}

static void range_sink(struct range *p, size_t at, size_t n)
{
	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && memcmp(p[child].from, p[child + 1].from, 10) < 0)
			child++;
		if (memcmp(p[at].from, p[child].from, 10) >= 0)
			return;
		range_swap(&p[at], &p[child]);
	}
}

/* Heap sort: qsort of the C library may take memory, and a validator has none to give. */
static void ranges_sort(struct range *p, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		range_sink(p, i, n);
	while (n > 1) {
		range_swap(&p[0], &p[--n]);
		range_sink(p, 0, n);
	}
}

static int range_add(struct hotlist *h, const struct range *r)
{
	if (h->count == HOTLIST_RANGES_MAX)
		return -E2BIG;
	if (h->count == h->space && h->fixed)
		return -ENOBUFS;
	if (h->count == h->space) {
		size_t space = h->space ? h->space * 2 : 1024;
		struct range *p = realloc(h->range, space * sizeof(*p));

		if (p == NULL)
			return -ENOMEM;
		h->range = p;
		h->space = space;
	}
	h->range[h->count++] = *r;
	return 0;
}

static bool line_parse(char *line, struct range *ret)
{
	char *comma = strchr(line, ',');

	if (comma != NULL)
		*comma++ = '\0';
	if (!pan_parse(line, ret->from))
		return false;
	memcpy(ret->to, ret->from, 10);
	return comma == NULL || *comma == '\0' || (pan_parse(comma, ret->to) && memcmp(ret->from, ret->to, 10) <= 0);
}

/* Ranges must not overlap, or bisection would miss some. */
static bool ranges_disjoint(const struct hotlist *h)
{
	for (size_t i = 1; i < h->count; i++)
		if (memcmp(h->range[i - 1].to, h->range[i].from, 10) >= 0 &&
		    memcmp(&h->range[i - 1], &h->range[i], sizeof(h->range[0])) != 0)
			return false;
	return true;
}

/* One line without its end: nothing, a comment, a card number, or a range. */
static int line_add(struct hotlist *h, const char *p, size_t bytes)
{
	struct range range;
	char line[LINE_BYTES];

	if (bytes > 0 && p[bytes - 1] == '\r')
		bytes--;
	if (bytes == 0 || p[0] == '#')
		return 0;
	if (bytes >= sizeof(line) || memchr(p, '\0', bytes) != NULL)
		return -EINVAL;
	memcpy(line, p, bytes);
	line[bytes] = '\0';
	return line_parse(line, &range) ? range_add(h, &range) : -EINVAL;
}

static const char *fault_text(int error)
{
	switch (error) {
	case -EINVAL: return "a card number, or \"from,to\", of at most 20 digits is needed";
	case -E2BIG: return "more than 4000000 lines";
	case -ENOBUFS: return "more lines than the memory given holds";
	default: return "out of memory";
	}
}

static int parse(struct hotlist *h, const char *name, const void *p, size_t n, char *ret_error, size_t error_bytes)
{
	const char *at = p;
	unsigned number = 0;
	int ret = 0;

	while (ret == 0 && n > 0) {
		const char *stop = memchr(at, '\n', n);
		size_t bytes = stop != NULL ? (size_t)(stop - at) : n, whole = bytes + (stop != NULL);

		number++;
		ret = line_add(h, at, bytes);
		at += whole;
		n -= whole;
	}
	if (ret != 0)
		snprintf(ret_error, error_bytes, "%s:%u:1: %s", name, number, fault_text(ret));
	if (ret == 0 && h->count > 1)
		ranges_sort(h->range, h->count);
	if (ret == 0 && !ranges_disjoint(h)) {
		snprintf(ret_error, error_bytes, "%s:1:1: ranges overlap", name);
		ret = -EINVAL;
	}
	return ret;
}

int hotlist_parse(const char *name, const void *p, size_t n, struct hotlist **ret_list, char *ret_error, size_t error_bytes)
{
	struct hotlist *h = calloc(1, sizeof(*h));
	int ret;

	if (h == NULL) {
		snprintf(ret_error, error_bytes, "%s:1:1: %s", name, fault_text(-ENOMEM));
		return -ENOMEM;
	}
	ret = parse(h, name, p, n, ret_error, error_bytes);
	if (ret != 0) {
		hotlist_free(h);
		return ret;
	}
	*ret_list = h;
	return 0;
}

size_t hotlist_size(size_t ranges) { return sizeof(struct hotlist) + ranges * sizeof(struct range); }

int hotlist_init(struct hotlist *h, size_t bytes, const char *name, const void *p, size_t n, char *ret_error, size_t error_bytes)
{
	*h = (struct hotlist){ .fixed = true, .space = (bytes - sizeof(*h)) / sizeof(struct range), .range = (struct range *)(h + 1) };
	return parse(h, name, p, n, ret_error, error_bytes);
}

void hotlist_free(struct hotlist *h)
{
	if (h == NULL)
		return;
	free(h->range);
	free(h);
}

bool hotlist_has(const struct hotlist *h, const uint8_t pan[10])
{
	size_t low = 0, high = h->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(h->range[mid].to, pan, 10) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < h->count && memcmp(h->range[low].from, pan, 10) <= 0;
}

size_t hotlist_count(const struct hotlist *h) { return h->count; }

/*
 * seal - the digest a day is closed with: SHA-256 over all that its rows say. What many rows say alike goes in as its own digest, made
 * once for all of them, so that sealing a day does not take as long as rating it. The same is found from the dump's lines alone, without a
 * store: docs/store.md says which bytes go in.
 */
#include "clearing/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void seal_start(struct digest *d, int32_t day)
{
	char text[11];

	day_format(day, text);
	digest_reset(d);
	digest_add(d, text, 10);
}

static void seal_bytes(enum cleared_class class, const uint8_t key[TAP_KEY_BYTES], uint16_t nth, const uint8_t said[DIGEST_BYTES],
		       const uint8_t record[DIGEST_BYTES], uint8_t ret[ROW_SEAL_BYTES])
{
	*ret++ = (uint8_t)class;
	memcpy(ret, key, TAP_KEY_BYTES);
	be16_put(ret + TAP_KEY_BYTES, nth);
	memcpy(ret + TAP_KEY_BYTES + 2, said, DIGEST_BYTES);
	memcpy(ret + TAP_KEY_BYTES + 2 + DIGEST_BYTES, record, DIGEST_BYTES);
}

void row_seal(enum cleared_class class, const uint8_t key[TAP_KEY_BYTES], uint16_t nth, const struct said_text *said, const uint8_t *raw, size_t raw_bytes,
	      uint8_t ret[ROW_SEAL_BYTES])
{
	uint8_t record[DIGEST_BYTES];

	digest_once(raw, raw_bytes, record);
	seal_bytes(class, key, nth, said->digest, record, ret);
}

/* ---- of a day in the store ------------------------------------------------------------------------------------------ */

static int seal_add(void *arg, const struct row_iter *it, const struct said_text *said)
{
	uint8_t bytes[ROW_SEAL_BYTES];

	row_seal((enum cleared_class)it->key[4], it->key + 5, be16_get(it->key + 23), said, it->row.raw, it->row.raw_bytes, bytes);
	digest_add(arg, bytes, sizeof(bytes));
	return 0;
}

static ssize_t digest_write(void *cookie, const char *p, size_t n)
{
	digest_add(cookie, p, n);
	return (ssize_t)n;
}

/* Adjustments and postings as the dump has them; of a day closed before rows were sealed so, all of it. */
static int text_add(struct txn *t, int32_t day, bool whole, struct digest *d)
{
	FILE *out = fopencookie(d, "w", (cookie_io_functions_t){ .write = digest_write });
	int ret = out == NULL ? -ENOMEM : whole ? dump_day(t, day, out) : dump_rest(t, day, out);

	return out != NULL && fclose(out) != 0 && ret == 0 ? -EIO : ret;
}

static int seal_make(struct txn *t, int32_t day, struct digest *d)
{
	struct day_row row = { 0 };
	int ret;

	if (day_get(t, day, &row) && row.seal == DAY_SEAL_TEXT) {
		digest_reset(d);
		return text_add(t, day, true, d);
	}
	seal_start(d, day);
	ret = rows_each(t, day, seal_add, d);
	return ret == 0 ? text_add(t, day, false, d) : ret;
}

int day_digest(struct store *s, int32_t day, uint8_t ret_digest[DIGEST_BYTES])
{
	struct digest d;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	ret = seal_make(&t, day, &d);
	txn_abort(&t);
	if (ret == 0)
		digest_end(&d, ret_digest);
	return ret;
}

int day_digest_end(struct store *s, int32_t day, struct digest *rows, uint8_t ret_digest[DIGEST_BYTES])
{
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	ret = text_add(&t, day, false, rows);
	txn_abort(&t);
	if (ret == 0)
		digest_end(rows, ret_digest);
	return ret;
}

/* ---- of the dump's lines ---------------------------------------------------------------------------------------------- */

#define RECORD ",\"record_sha256\":\""
#define NTH "\",\"nth\":"

/* What stands in a line between two texts, as a text of its own; *p is behind the second then. False: it does not, or is longer than room. */
static bool between(const char **p, const char *end, const char *before, const char *after, char *room, size_t room_bytes)
{
	const char *from = memmem(*p, (size_t)(end - *p), before, strlen(before)), *to;

	if (from == NULL)
		return false;
	from += strlen(before);
	to = memmem(from, (size_t)(end - from), after, strlen(after));
	if (to == NULL || (size_t)(to - from) >= room_bytes)
		return false;
	memcpy(room, from, (size_t)(to - from));
	room[to - from] = '\0';
	*p = to + strlen(after);
	return true;
}

static bool key_read(const char **p, const char *end, int32_t day, uint8_t ret[CLEARED_KEY_BYTES])
{
	char id[TAP_ID_BYTES + 2 * TAP_KEY_BYTES], nth[6];
	uint8_t key[TAP_KEY_BYTES];
	bool ride = between(p, end, "\"tap\":\"", NTH, id, sizeof(id));

	if (!(ride ? tap_id_parse(id, key) : between(p, end, "\"content\":\"", NTH, id, sizeof(id)) && hex_decode(id, key, sizeof(key))) ||
	    !between(p, end, "", ",", nth, sizeof(nth)))
		return false;
	row_key(day, ride ? CLEARED_RIDE : CLEARED_OTHER, key, (uint16_t)strtoul(nth, NULL, 10), ret);
	return true;
}

/* A line without its end is what its parts make, byte for byte. */
static bool line_is(const char *line, size_t n, int32_t day, const uint8_t key[CLEARED_KEY_BYTES], const char *said, size_t said_bytes,
		    const uint8_t record[DIGEST_BYTES])
{
	char date[11], *text = malloc(ROW_TEXT_BYTES + said_bytes);
	bool same;

	if (text == NULL)
		return false;
	day_format(day, date);
	same = row_text(date, key, said, said_bytes, record, text) == n + 1 && memcmp(text, line, n) == 0;
	free(text);
	return same;
}

static bool line_seal(const char *line, const char *end, int32_t day, uint8_t ret[ROW_SEAL_BYTES])
{
	uint8_t key[CLEARED_KEY_BYTES], digest[DIGEST_BYTES], record[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];
	const char *p = line, *said;
	size_t said_bytes;

	if (!key_read(&p, end, day, key))
		return false;
	said = p;
	if (!between(&p, end, RECORD, "\"}", hex, sizeof(hex)) || !hex_decode(hex, record, DIGEST_BYTES))
		return false;
	said_bytes = (size_t)(p - said) - strlen(RECORD) - 2 * DIGEST_BYTES - strlen("\"}");
	if (!line_is(line, (size_t)(end - line), day, key, said, said_bytes, record))
		return false;
	digest_once(said, said_bytes, digest);
	seal_bytes((enum cleared_class)key[4], key + 5, be16_get(key + 23), digest, record, ret);
	return true;
}

bool seal_of_lines(int32_t day, const char *p, size_t n, uint8_t ret_digest[DIGEST_BYTES])
{
	uint8_t bytes[ROW_SEAL_BYTES];
	struct digest d;
	bool rows = true;

	seal_start(&d, day);
	for (const char *end = p + n, *stop; p < end; p = stop + 1) {
		stop = memchr(p, '\n', (size_t)(end - p));
		if (stop == NULL)
			return false;
		rows = rows && memmem(p, (size_t)(stop - p), RECORD, strlen(RECORD)) != NULL;	/* what comes behind them goes in as it is */
		if (rows && !line_seal(p, stop, day, bytes))
			return false;
		digest_add(&d, rows ? (const void *)bytes : p, rows ? sizeof(bytes) : (size_t)(stop + 1 - p));
	}
	digest_end(&d, ret_digest);
	return true;
}

/*
 * qingfen entitlements prepare, handle, sign - at the bureau's side: identity numbers become handles here, and only
 * handles go on. Refusals name the place and never the number.
 */
#include "tools/entitlements.h"
#include "tools/tariff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the city's key ----------------------------------------------------------------------------------- */

static int city_key_read(const char *path, uint8_t ret_key[32])
{
	char hex[80] = "";
	FILE *f = fopen(path, "re");
	bool good = f != NULL && fscanf(f, "%79s", hex) == 1 && strlen(hex) == 64 && hex_decode(hex, ret_key, 32);

	if (f != NULL)
		fclose(f);
	key_wipe(hex, sizeof(hex));
	if (!good)
		complain("%s: the city's key of 64 hex digits is needed", path);
	return good ? EXIT_OK : EXIT_CONFIG;
}

int entitlements_handle(const struct entitlement_options *o)
{
	char line[64], identity[19], text[17];
	uint8_t key[32];
	uint64_t handle;
	unsigned number = 0;
	int ret = o->words == 1 && o->city_key != NULL ? city_key_read(o->city_key, key) : EXIT_USAGE;

	while (ret == EXIT_OK && fgets(line, sizeof(line), stdin) != NULL) {
		number++;
		line[strcspn(line, "\r\n")] = '\0';
		if (!identity_normal(line, identity)) {
			complain("stdin:%u:1: not an identity number of 15 or 18 characters with its check digit", number);
			ret = EXIT_CONFIG;
		} else if (handle_make(key, identity, &handle) != 0) {
			ret = EXIT_STORE;
		} else {
			handle_format(handle, text);
			puts(text);
		}
	}
	key_wipe(key, sizeof(key));
	key_wipe(line, sizeof(line));
	key_wipe(identity, sizeof(identity));
	return ret;
}

/* ---- prepare ----------------------------------------------------------------------------------------------- */

enum { P_ID, P_CELLS = FEED_COLUMNS };	/* the identity number stands where the handle will */
struct person { uint64_t handle; char identity[19]; };
struct preparing { const struct entitlement_options *o; const char *path; uint8_t key[32]; struct csv *csv; int column[P_CELLS];
	FILE *rows; struct person *seen; size_t count, space; };

static int columns_find(struct preparing *p)
{
	p->column[P_ID] = csv_column(p->csv, "id");
	for (int i = FEED_GROUP; i < FEED_COLUMNS; i++)
		p->column[i] = csv_column(p->csv, feed_column_name[i]);
	for (int i = P_ID; i <= FEED_VALID_FROM; i++)
		if (p->column[i] < 0 && i != FEED_GRADE) {
			complain("%s:1:1: column \"%s\" is missing", p->path, i == P_ID ? "id" : feed_column_name[i]);
			return EXIT_CONFIG;
		}
	return EXIT_OK;
}

static int person_keep(struct preparing *p, uint64_t handle, const char *identity)
{
	if (p->count == p->space) {
		size_t space = p->space * 2 + 1024;
		struct person *wide = calloc(space, sizeof(*wide));

		if (wide == NULL)
			return EXIT_STORE;
		if (p->count > 0)
			memcpy(wide, p->seen, p->count * sizeof(*wide));
		if (p->seen != NULL)
			key_wipe(p->seen, p->space * sizeof(*wide));
		free(p->seen);
		p->seen = wide;
		p->space = space;
	}
	p->seen[p->count].handle = handle;
	memcpy(p->seen[p->count++].identity, identity, 19);
	return EXIT_OK;
}

static void cell_write(const struct preparing *p, int column, const char *text)
{
	if (!p->o->ndjson)
		fprintf(p->rows, "%s%s", column > 0 ? "," : "", text);
	else if (text[0] != '\0')
		fprintf(p->rows, "%s\"%s\":\"%s\"", column > 0 ? "," : "{", feed_column_name[column], text);
}

static int row_write(struct preparing *p, const char *const *field, unsigned line)
{
	char identity[19], text[17], birth[11];
	uint64_t handle;
	int ret;

	if (!identity_normal(field[p->column[P_ID]], identity)) {
		complain("%s:%u:%u: not an identity number of 15 or 18 characters with its check digit", p->path, line,
			 csv_field_column(p->csv, (size_t)p->column[P_ID]));
		return EXIT_CONFIG;
	}
	if (handle_make(p->key, identity, &handle) != 0)
		return EXIT_STORE;
	ret = person_keep(p, handle, identity);
	handle_format(handle, text);
	cell_write(p, FEED_HANDLE, text);
	snprintf(birth, sizeof(birth), "%.4s-%.2s-%.2s", identity + 6, identity + 10, identity + 12);
	key_wipe(identity, sizeof(identity));
	for (int i = FEED_GROUP; ret == EXIT_OK && i < FEED_COLUMNS; i++) {
		const char *value = p->column[i] >= 0 ? field[p->column[i]] : "";

		if (i == FEED_BIRTH)
			value = p->o->birth ? birth : "";
		if (strpbrk(value, ",\"\\\r\n") != NULL) {
			complain("%s:%u:%u: commas, quotes and \\ cannot stand here", p->path, line, csv_field_column(p->csv, (size_t)p->column[i]));
			ret = EXIT_CONFIG;
		}
		cell_write(p, i, value);
	}
	fputs(p->o->ndjson ? "}\n" : "\n", p->rows);
	return ret;
}

static int person_compare(const void *pa, const void *pb)
{
	const struct person *a = pa, *b = pb;

	return a->handle != b->handle ? (a->handle < b->handle ? -1 : 1) : strcmp(a->identity, b->identity);
}

/* Two persons of one handle, once in ten million batches of a million: told, never mixed. */
static int handles_differ(struct preparing *p)
{
	if (p->count > 1)
		qsort(p->seen, p->count, sizeof(p->seen[0]), person_compare);
	for (size_t i = 1; i < p->count; i++)
		if (p->seen[i].handle == p->seen[i - 1].handle && strcmp(p->seen[i].identity, p->seen[i - 1].identity) != 0) {
			complain("%s: two identity numbers have the same handle; ask the city's centre", p->path);
			return EXIT_RULE;
		}
	return EXIT_OK;
}

static int rows_write(struct preparing *p)
{
	const char *const *field;
	char error[256] = "";
	unsigned line;
	int got, ret = EXIT_OK;

	while (ret == EXIT_OK && (got = csv_next(p->csv, &field, &line, error, sizeof(error))) != 0) {
		if (got < 0) {
			complain("%s", error);
			return EXIT_CONFIG;
		}
		ret = row_write(p, field, line);
	}
	return ret == EXIT_OK ? handles_differ(p) : ret;
}

static void head_write(const struct entitlement_options *o, size_t count, FILE *out)
{
	if (o->ndjson) {
		fprintf(out, "{\"schema\":\"qingfen.entitlements\",\"version\":1,"
			"\"bureau\":\"%s\",\"sequence\":%s,\"kind\":\"%s\",\"issued\":\"%s\",\"count\":%zu}\n",
			o->bureau, o->sequence, o->kind, o->issued, count);
		return;
	}
	fprintf(out, "qingfen.entitlements,1,%s,%s,%s,%s,%zu\n", o->bureau, o->sequence, o->kind, o->issued, count);
	for (int i = 0; i < FEED_COLUMNS; i++)
		fprintf(out, "%s%s", i > 0 ? "," : "", feed_column_name[i]);
	fputc('\n', out);
}

/* What was written is read back by the reader of the house before it leaves the bureau. */
static int feed_file_check(const char *name, const char *p, size_t n)
{
	struct feed_reader r;
	struct feed_row row;
	char error[512] = "";
	int ret = feed_open(&r, name, p, n, error, sizeof(error));

	while (ret == 0 && (ret = feed_next(&r, &row)) == 1)
		ret = 0;
	if (ret != 0)
		complain("%s", error);
	return ret == 0 ? EXIT_OK : EXIT_CONFIG;
}

static int text_save(const char *path, const char *p, size_t n)
{
	FILE *f = fopen(path, "we");
	bool good = f != NULL && fwrite(p, 1, n, f) == n;

	if (f != NULL && fclose(f) != 0)
		good = false;
	if (!good)
		complain("%s: %s", path, strerror(errno));
	return good ? EXIT_OK : EXIT_STORE;
}

static int batch_write(struct preparing *p, const char *rows, size_t rows_bytes)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	int ret;

	if (f == NULL)
		return EXIT_STORE;
	head_write(p->o, p->count, f);
	fwrite(rows, 1, rows_bytes, f);
	fclose(f);
	ret = feed_file_check(p->o->to, text, n);
	if (ret == EXIT_OK)
		ret = text_save(p->o->to, text, n);
	free(text);
	return ret;
}

int entitlements_prepare(const struct entitlement_options *o)
{
	struct preparing p = { .o = o };
	char *rows = NULL, error[256] = "";
	size_t n = 0;
	int ret;

	if (o->words != 2 || o->city_key == NULL || o->bureau == NULL || o->sequence == NULL || o->kind == NULL || o->issued == NULL || o->to == NULL)
		return EXIT_USAGE;
	p.path = o->word[1];
	ret = city_key_read(o->city_key, p.key);
	if (ret == EXIT_OK && csv_open(p.path, &p.csv, error, sizeof(error)) != 0) {
		complain("%s", error);
		ret = EXIT_CONFIG;
	}
	p.rows = ret == EXIT_OK ? open_memstream(&rows, &n) : NULL;
	if (ret == EXIT_OK)
		ret = p.rows == NULL ? EXIT_STORE : columns_find(&p);
	if (ret == EXIT_OK)
		ret = rows_write(&p);
	if (p.rows != NULL)
		fclose(p.rows);
	if (ret == EXIT_OK)
		ret = batch_write(&p, rows, n);
	if (p.seen != NULL)
		key_wipe(p.seen, p.space * sizeof(p.seen[0]));
	key_wipe(p.key, sizeof(p.key));
	free(p.seen);
	free(rows);
	csv_close(p.csv);
	return ret;
}

/* ---- sign ------------------------------------------------------------------------------------------------------ */

int entitlements_sign(const struct entitlement_options *o)
{
	char path[4096], hex[130], *p = NULL;
	uint8_t signature[64];
	size_t n = 0;
	int ret;

	if (o->words != 2 || o->key == NULL)
		return EXIT_USAGE;
	snprintf(path, sizeof(path), o->to != NULL ? "%s" : "%s.sig", o->to != NULL ? o->to : o->word[1]);
	ret = bytes_read(o->word[1], &p, &n);
	if (ret == EXIT_OK)
		ret = feed_file_check(o->word[1], p, n);
	if (ret == EXIT_OK)
		ret = secret_sign(o->key, p, n, signature, NULL);
	if (ret == EXIT_OK) {
		hex_encode(signature, sizeof(signature), hex);
		hex[128] = '\n';
		ret = text_save(path, hex, 129);
	}
	free(p);
	return ret;
}

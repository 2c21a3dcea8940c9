/*
 * partners - what the simulated T-Union centre and the simulated bank answer. Answers are a function of the file
 * they got: a fraction of the items, chosen by a hash of the item, is refused.
 */
#include "tools/tools.h"

#include "tools/sim/https.h"
#include "tools/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define FEE_PER_10000 30	/* of the amount, rounded down a record */
#define ABROAD_RECORDS 25	/* our cards used elsewhere, in each day's CL file */

struct lines { const char *p, *end; };

static bool line_next(struct lines *l, const char **ret, size_t *ret_n)
{
	const char *stop;

	if (l->p >= l->end)
		return false;
	stop = memchr(l->p, '\n', (size_t)(l->end - l->p));
	*ret = l->p;
	*ret_n = (size_t)((stop != NULL ? stop : l->end) - l->p);
	if (*ret_n > 0 && l->p[*ret_n - 1] == '\r')
		--*ret_n;
	l->p = stop != NULL ? stop + 1 : l->end;
	return true;
}

/* Refused or not, by the item's own text. */
static bool refused(const struct partner *p, const char *id)
{
	uint8_t digest[DIGEST_BYTES];

	return digest_sha256(id, strlen(id), digest) == 0 && be32_get(digest) % 100 < p->refuse_percent;
}

/* One answer file being written: header first, then lines. */
struct answer { const char *kind; const struct layout *layout; char *text; size_t n; FILE *f; uint64_t count; };

static void answer_open(struct answer *a, const char *kind)
{
	*a = (struct answer){ .kind = kind, .layout = layout_of("tunion", kind) };
	a->f = open_memstream(&a->text, &a->n);
	if (a->f == NULL)
		abort();
}

static void answer_line(struct answer *a, const char *line)
{
	fprintf(a->f, "%s\r\n", line);
	a->count++;
}

/* TT YYMMDD 000000 org 8 serial 10 A, with the header in front. */
static int answer_close(struct answer *a, struct partner *p, const char *date)
{
	const struct layout *h = layout_of("tunion", "header");
	char line[LAYOUT_BYTES_MAX + 1], name[64], *whole = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&whole, &n);
	int ret;

	if (f == NULL)
		return -1;
	fclose(a->f);
	layout_blank(h, line);
	layout_number(h, line, "count", a->count);
	layout_text(h, line, "date", date);
	layout_text(h, line, "receiver", "12184280");
	layout_number(h, line, "length", a->layout->width + 2);
	fprintf(f, "01\r\n%s\r\n", line);
	fwrite(a->text, 1, a->n, f);
	fclose(f);
	snprintf(name, sizeof(name), "%s%s00000012184280%010uA", a->kind, date + 2, 1u);
	ret = partner_answer(p, name, whole, n);
	free(whole);
	free(a->text);
	return ret;
}

struct sums { uint64_t good_count, good_fen, bad_count, bad_fen, fee_fen; };

/* Copy a field that both layouts have. */
static void copy(const struct layout *from, const char *in, const struct layout *to, char *out, const char *field)
{
	char text[128];

	layout_get_text(from, in, field, text, sizeof(text));
	layout_text(to, out, field, text);
}

static void feedback(struct partner *p, struct answer *fb, const struct layout *cd, const char *in, struct sums *sums)
{
	static const char *const same[] = { "acquirer_serial", "accept_date", "ref", "type", "issuer", "acquirer", "pan", "counter", "balance_before", "amount", "datetime" };
	uint64_t amount = layout_get_number(cd, in, "amount"), fee = amount * FEE_PER_10000 / 10000;
	char line[LAYOUT_BYTES_MAX + 1], ref[32];
	bool bad;

	layout_get_text(cd, in, "ref", ref, sizeof(ref));
	bad = refused(p, ref);
	layout_blank(fb->layout, line);
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		copy(cd, in, fb->layout, line, same[i]);
	layout_text(fb->layout, line, "settle_no", ref);
	layout_text(fb->layout, line, "centre", "30000000");
	layout_text(fb->layout, line, "error_code", bad ? "000004" : "000000");
	layout_text(fb->layout, line, "error_text", bad ? "TAC" : "");
	layout_number(fb->layout, line, "fee", bad ? 0 : fee);
	answer_line(fb, line);
	sums->good_count += !bad;
	sums->good_fen += bad ? 0 : amount;
	sums->bad_count += bad;
	sums->bad_fen += bad ? amount : 0;
	sums->fee_fen += bad ? 0 : fee;
}

static int processed_file(struct partner *p, const char *name, const char *date)
{
	struct answer ld;
	char line[LAYOUT_BYTES_MAX + 1];

	answer_open(&ld, "LD");
	layout_blank(ld.layout, line);
	layout_text(ld.layout, line, "serial", "000000010001");
	layout_text(ld.layout, line, "file_name", name);
	layout_text(ld.layout, line, "error_code", "000000");
	answer_line(&ld, line);
	return answer_close(&ld, p, date);
}

static int summary_file(struct partner *p, const struct sums *sums, const char *date)
{
	struct answer cr;
	char line[LAYOUT_BYTES_MAX + 1];

	answer_open(&cr, "CR");
	for (int bad = 0; bad < 2; bad++) {
		layout_blank(cr.layout, line);
		layout_text(cr.layout, line, "acquirer", "12184280");
		layout_text(cr.layout, line, "centre", "30000000");
		layout_number(cr.layout, line, "type", 8451);
		layout_text(cr.layout, line, "error_code", bad ? "000004" : "000000");
		layout_number(cr.layout, line, "count", bad ? sums->bad_count : sums->good_count);
		layout_number(cr.layout, line, "amount", bad ? sums->bad_fen : sums->good_fen);
		layout_number(cr.layout, line, "issuer_fee", bad ? 0 : sums->fee_fen);
		layout_number(cr.layout, line, "centre_fee", bad ? 0 : sums->fee_fen);
		answer_line(&cr, line);
	}
	return answer_close(&cr, p, date);
}

static int position_file(struct partner *p, const struct sums *sums, uint64_t abroad_fen, const char *date)
{
	uint64_t income = sums->good_fen - sums->fee_fen;
	struct answer bp;
	char line[LAYOUT_BYTES_MAX + 1];

	answer_open(&bp, "BP");
	layout_blank(bp.layout, line);
	layout_number(bp.layout, line, "income", income);
	layout_number(bp.layout, line, "payable", abroad_fen);
	layout_number(bp.layout, line, "net", income > abroad_fen ? income - abroad_fen : abroad_fen - income);
	layout_text(bp.layout, line, "sign", income >= abroad_fen ? "00000FFFFF" : "00001FFFFF");
	answer_line(&bp, line);
	return answer_close(&bp, p, date);
}

/* Our issuer's cards in other cities: numbers made from the date. */
static int abroad_file(struct partner *p, const char *date, uint64_t *ret_fen)
{
	struct answer cl;
	char line[LAYOUT_BYTES_MAX + 1], text[32];

	*ret_fen = 0;
	answer_open(&cl, "CL");
	for (unsigned i = 1; i <= ABROAD_RECORDS; i++) {
		uint64_t amount = 100 + i % 3 * 100;

		layout_blank(cl.layout, line);
		snprintf(text, sizeof(text), "A%.6s%05u", date + 2, i);
		layout_text(cl.layout, line, "settle_no", text);
		layout_text(cl.layout, line, "ref", text);
		layout_text(cl.layout, line, "accept_date", date);
		layout_text(cl.layout, line, "issuer", "02184280");
		snprintf(text, sizeof(text), "0310473010000%07u", 9000000 + i);
		layout_text(cl.layout, line, "pan", text);
		layout_number(cl.layout, line, "amount", amount);
		snprintf(text, sizeof(text), "%.8s081500", date);
		layout_text(cl.layout, line, "datetime", text);
		layout_text(cl.layout, line, "algorithm", "00");
		layout_text(cl.layout, line, "error_code", "000000");
		answer_line(&cl, line);
		*ret_fen += amount;
	}
	return answer_close(&cl, p, date);
}

static bool tunion_take(struct partner *p, const char *name, const char *text, size_t n)
{
	const struct layout *cd = layout_of("tunion", "CD"), *h = layout_of("tunion", "header");
	struct lines l = { text, text + n };
	struct sums sums = { 0 };
	struct answer fb;
	const char *line, *field;
	uint64_t count = 0, expected, abroad_fen;
	char date[9] = "";
	bool good;

	if (strncmp(name, "CD", 2) != 0 || !line_next(&l, &line, &n) || n != 2 || !line_next(&l, &line, &n) || !layout_check(h, line, n, &field))
		return false;
	layout_get_text(h, line, "date", date, sizeof(date));
	expected = layout_get_number(h, line, "count");
	answer_open(&fb, "FB");
	for (good = true; good && line_next(&l, &line, &n); count++) {
		good = layout_check(cd, line, n, &field);
		if (good)
			feedback(p, &fb, cd, line, &sums);
	}
	if (!good || count != expected) {
		fclose(fb.f);
		free(fb.text);
		return false;
	}
	return answer_close(&fb, p, date) == 0 && processed_file(p, name, date) == 0 && summary_file(p, &sums, date) == 0 && abroad_file(p, date, &abroad_fen) == 0 &&
	       position_file(p, &sums, abroad_fen, date) == 0;
}

int sim_tunion(int argc, char **argv)
{
	struct partner p = { .name = "tunion", .refuse_percent = 1, .take = tunion_take };

	return partner_serve(&p, argc, argv);
}

/* ---- the bank --------------------------------------------------------------------------------------------- */

static void return_line(struct partner *p, const struct layout *from, const char *in, FILE *f, uint64_t number)
{
	const struct layout *l = layout_of("bank", "DSRT");
	uint64_t amount = layout_get_number(from, in, "amount");
	char line[LAYOUT_BYTES_MAX + 1], item[40];
	bool bad;

	layout_get_text(from, in, "item", item, sizeof(item));
	bad = refused(p, item);
	layout_blank(l, line);
	layout_text(l, line, "kind", "D");
	layout_number(l, line, "line", number);
	layout_text(l, line, "item", item);
	copy(from, in, l, line, "account");
	layout_number(l, line, "amount", amount);
	layout_text(l, line, "result", bad ? "AM04" : "0000");
	layout_text(l, line, "result_text", bad ? "insufficient funds" : "");
	layout_text(l, line, "bank_serial", item);
	layout_number(l, line, "booked", bad ? 0 : amount);
	layout_get_text(from, in, "value_date", item, sizeof(item));
	layout_text(l, line, "booked_date", item);
	fprintf(f, "%s\r\n", line);
}

static bool bank_take(struct partner *p, const char *name, const char *text, size_t n)
{
	const bool pays = strncmp(name, "DSPY", 4) == 0;
	const struct layout *from = layout_of("bank", pays ? "DSPY" : "DSCL"), *h = layout_of("bank", "header"), *x = layout_of("bank", "trailer");
	struct lines l = { text, text + n };
	char line_out[LAYOUT_BYTES_MAX + 1], answer_name[64], digest_text[2 * DIGEST_BYTES + 1], *whole = NULL;
	const char *line, *field;
	uint64_t count = 0, amount = 0;
	uint8_t digest[DIGEST_BYTES];
	size_t bytes = 0;
	bool good = false;
	FILE *f = open_memstream(&whole, &bytes);

	if (f == NULL || (!pays && strncmp(name, "DSCL", 4) != 0) || !line_next(&l, &line, &n) || !layout_check(h, line, n, &field))
		goto out;
	memcpy(line_out, line, n);
	line_out[n] = '\0';
	layout_text(h, line_out, "file_type", "DSRT");
	fprintf(f, "%s\r\n", line_out);
	while (line_next(&l, &line, &n) && n > 0 && line[0] == 'D') {
		if (!layout_check(from, line, n, &field))
			goto out;
		amount += layout_get_number(from, line, "amount");
		return_line(p, from, line, f, ++count);
	}
	if (!layout_check(x, line, n, &field) || layout_get_number(x, line, "count") != count || layout_get_number(x, line, "amount") != amount)
		goto out;
	fflush(f);
	if (digest_sha256(whole, bytes, digest) != 0)
		goto out;
	hex_encode(digest, DIGEST_BYTES, digest_text);
	layout_blank(x, line_out);
	layout_text(x, line_out, "kind", "T");
	layout_number(x, line_out, "count", count);
	layout_number(x, line_out, "amount", amount);
	layout_text(x, line_out, "digest", digest_text);
	fprintf(f, "%s\r\n", line_out);
	fflush(f);
	snprintf(answer_name, sizeof(answer_name), "DSRT%.40s", name + 4);
	good = partner_answer(p, answer_name, whole, bytes) == 0;
out:
	if (f != NULL)
		fclose(f);
	free(whole);
	return good;
}

int sim_bank(int argc, char **argv)
{
	struct partner p = { .name = "bank", .refuse_percent = 2, .take = bank_take };

	return partner_serve(&p, argc, argv);
}

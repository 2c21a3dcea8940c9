/*
 * qingfen card stopped - the cards that the register says are lost or refunded, as rows of the black list that terminals
 * get: the clearing house refuses such taps anyway, but then somebody has ridden and nobody pays.
 */
#include "tools/card.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] = "用法 usage: qingfen card stopped [--at TIME] [--out FILE] [--store DIR]\n"
			    "  挂失和退卡的卡号, 按黑名单格式 (含完整卡号, 请妥善保管): qingfen load blacklist 下发给终端\n"
			    "  lost and refunded cards as blacklist.csv; the numbers are whole, keep the file safe\n";

static void row_print(FILE *out, const uint8_t pan[10], const struct card_life *life)
{
	char digits[21], from[32];

	pan_digits(pan, digits);
	time_format(life->since_ms, from);
	fprintf(out, "%s,%s,,refuse\n", digits, from);
}

/* One look at each number of the register; rows of a number lie together. */
static int stopped_print(struct store *s, int64_t at_ms, FILE *out)
{
	uint8_t pan[10] = { 0 };
	uint64_t seq;
	struct iter it;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	if (ret != 0)
		return ret;
	seq = inbox_last(&t);
	fputs("pan,from,to,action\n", out);
	iter_open(&t, DB_CARD, NULL, 0, &it);
	for (bool first = true; iter_next(&it); first = false) {
		struct card_life life;

		if (it.key_bytes < sizeof(pan) || (!first && memcmp(pan, it.key, sizeof(pan)) == 0))
			continue;
		memcpy(pan, it.key, sizeof(pan));
		if (card_life_at(&t, pan, seq, at_ms, &life) && (life.last == CARD_LOST || life.last == CARD_REFUNDED))
			row_print(out, pan, &life);
	}
	iter_close(&it);
	ret = t.error;
	txn_abort(&t);
	return ret;
}

int card_stopped(int argc, char **argv)
{
	int64_t at_ms = (int64_t)time(NULL) * 1000;
	struct options o;
	struct store *s;
	FILE *out = stdout;
	int ret = options_read(argc, argv, usage, &o);

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (o.first != argc || (o.at != NULL && !time_parse(o.at, &at_ms))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(&o, &s) != 0)
		return EXIT_STORE;
	if (o.out != NULL && (out = fopen(o.out, "we")) == NULL) {
		complain("%s: cannot be written", o.out);
		store_close(s);
		return EXIT_STORE;
	}
	ret = stopped_print(s, at_ms, out);
	store_close(s);
	if (ret == 0 && (ferror(out) != 0 || fflush(out) != 0))
		ret = -EIO;
	if (out != stdout && fclose(out) != 0 && ret == 0)
		ret = -EIO;
	if (ret != 0)
		complain("card stopped: %s", clearing_strerror(ret));
	return exit_of_error(ret);
}

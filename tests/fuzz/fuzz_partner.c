/*
 * Files of partners: T-Union FB, LD, CR, BP, CL, the bank's return, results of code platforms. The first byte chooses whose;
 * the items they may answer are in a store, without the rides behind them. A file is taken or refused with its place; what is
 * taken is posted as far as the items alone allow.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clearing/clearing.h"
#include "clearing/settle.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct store *store;
static char dir[] = "/tmp/qingfen-fuzz-XXXXXX";

static void clean(void)
{
	char command[64];

	store_close(store);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		abort();
}

/* Items "000000000001" to 9 of each scheme, of 100 fen each. */
static void items_make(struct txn *t)
{
	for (unsigned scheme = 1; scheme <= 6; scheme++)
		for (unsigned i = 1; i <= 9; i++) {
			struct item_row item = { .scheme = (uint8_t)scheme, .state = ITEM_OPEN, .day = 20395, .amount_fen = 100 };

			snprintf(item.id, sizeof(item.id), "%012u", i);
			item_put(t, &item);
		}
}

static void store_make(void)
{
	struct txn t;

	if (store != NULL)
		return;
	if (mkdtemp(dir) == NULL || store_open(dir, false, 8u << 20, &store) != 0 || txn_begin(store, true, &t) != 0)
		abort();
	items_make(&t);
	if (txn_commit(&t) != 0)
		abort();
	atexit(clean);
}

static void posting_add(void *arg, const struct posting *posting, enum scheme scheme, const uint8_t tap_key[TAP_KEY_BYTES])
{
	(void)scheme;
	(void)tap_key;
	assert(posting->amount.fen > 0);
	*(int64_t *)arg += posting->amount.fen;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct { const char *partner, *name; } files[] = { { "tunion", "FB" }, { "tunion", "LD" }, { "tunion", "CR" }, { "tunion", "BP" },
		{ "tunion", "CL" }, { "bank", "DSRT20251104" }, { "ridecode", "RCRS20251104" }, { "identity", "IDRS20251104" } };
	char error[256] = "";
	int64_t fen = 0;
	struct txn t;
	size_t k;

	store_make();
	if (n == 0 || txn_begin(store, false, &t) != 0)
		return 0;
	k = p[0] % (sizeof(files) / sizeof(files[0]));
	if (partner_file_check(&t, files[k].partner, files[k].name, p + 1, n - 1, error, sizeof(error)) != 0)
		assert(strncmp(error, files[k].name, strlen(files[k].name)) == 0);
	else
		(void)!partner_file_post(&t, files[k].partner, files[k].name, p + 1, n - 1, posting_add, &fen);
	assert(fen <= 9 * 100 * 2 || strcmp(files[k].name, "CL") == 0);	/* CL tells what our cards did elsewhere: no item of ours bounds it */
	txn_abort(&t);
	return 0;
}

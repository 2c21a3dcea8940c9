/*
 * refdata_contract - who bears what is lost with a card's first rides, as contracts with banks say: rows kept under the position
 * of the event that brought them and never replaced. A later row of the same prefix takes the place of an earlier one; of
 * several that fit a card the longest prefix counts.
 */
#include "clearing/refdata.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RISK_CONTRACT 2			/* kind of event, on disk */
#define KEY_SIZE 10
#define ROW_SIZE (8 + 4 + 4 + 4 + 21 + 64)
#define FIRST_FEN_MAX 1000000
enum { C_PREFIX, C_FIRST, C_ACCOUNT, C_TITLE, C_FROM, C_TO, C_COUNT };
static const char *const columns[C_COUNT] = { "prefix", "first_fen", "account", "title", "from", "to" };

void contract_head(uint8_t out[CONTRACT_HEAD_BYTES])
{
	memset(out, 0, CONTRACT_HEAD_BYTES);
	out[0] = RISK_CONTRACT;
}

bool contract_is(const uint8_t *p, size_t n) { return n > 0 && p[0] == RISK_CONTRACT; }

/* ---- the file ---------------------------------------------------------------------------------------------- */

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	*ret = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && strlen(text) < 12 && *ret <= max;
}

/* A loss can be owed by a bank (3, not the accounts of collection and arrears), by a treasury, or be an operator's. */
static bool bears(uint64_t account)
{
	unsigned class = ACCOUNT_CLASS((account_t)account), party = ACCOUNT_PARTY((account_t)account);

	return (class == ACCOUNT_BANK && party > 2) || ((class == ACCOUNT_TREASURY || class == ACCOUNT_OPERATOR) && party > 0);
}

static bool day_cell(const struct ref_reading *r, int column, int32_t open, int32_t *ret)
{
	*ret = open;
	return ref_cell(r, column)[0] == '\0' || day_parse(ref_cell(r, column), ret);
}

static int row_read(const struct ref_reading *r, struct contract *ret)
{
	uint64_t fen, account;

	*ret = (struct contract){ 0 };
	if (strlen(ref_cell(r, C_PREFIX)) >= sizeof(ret->prefix) || strspn(ref_cell(r, C_PREFIX), "0123456789") != strlen(ref_cell(r, C_PREFIX)))
		return ref_refuse(r, C_PREFIX, "the first digits of card numbers are needed, or nothing for every card");
	if (!number(ref_cell(r, C_FIRST), FIRST_FEN_MAX, &fen))
		return ref_refuse(r, C_FIRST, "0 to 1000000 fen are needed");
	if (!number(ref_cell(r, C_ACCOUNT), UINT32_MAX, &account) || !bears(account))
		return ref_refuse(r, C_ACCOUNT, "an account that can bear a loss is needed: 3000003 and above, 5 or 6 and a party");
	if (ref_cell(r, C_TITLE)[0] == '\0' || strlen(ref_cell(r, C_TITLE)) >= sizeof(ret->title))
		return ref_refuse(r, C_TITLE, "the contract's title is needed, at most 63 bytes");
	if (!day_cell(r, C_FROM, INT32_MIN, &ret->from))
		return ref_refuse(r, C_FROM, "YYYY-MM-DD is needed");
	if (!day_cell(r, C_TO, INT32_MAX, &ret->to) || ret->to < ret->from)
		return ref_refuse(r, C_TO, "YYYY-MM-DD not before from is needed");
	snprintf(ret->prefix, sizeof(ret->prefix), "%s", ref_cell(r, C_PREFIX));
	snprintf(ret->title, sizeof(ret->title), "%s", ref_cell(r, C_TITLE));
	ret->first_fen = (int64_t)fen;
	ret->account = (account_t)account;
	return 0;
}

static void row_put(struct txn *t, uint64_t seq, uint16_t row, const struct contract *c)
{
	uint8_t key[KEY_SIZE], val[ROW_SIZE] = { 0 };

	be64_put(key, seq);
	be16_put(key + 8, row);
	be64_put(val, (uint64_t)c->first_fen);
	be32_put(val + 8, c->account);
	be32_put(val + 12, (uint32_t)c->from);
	be32_put(val + 16, (uint32_t)c->to);
	memcpy(val + 20, c->prefix, strlen(c->prefix));
	memcpy(val + 41, c->title, strlen(c->title));
	txn_put(t, DB_CONTRACT, key, sizeof(key), val, sizeof(val));
}

int contracts_apply(struct txn *t, uint64_t seq, const uint8_t *p, size_t n, char *error, size_t error_bytes)
{
	struct ref_reading r;
	struct contract c;
	unsigned rows = 0;
	int ret;

	if (n < CONTRACT_HEAD_BYTES) {
		snprintf(error, error_bytes, "contract: the event is too short");
		return CLEARING_E_REFERENCE;
	}
	ret = ref_open(&r, "contract.csv", p + CONTRACT_HEAD_BYTES, n - CONTRACT_HEAD_BYTES, columns, C_COUNT, error, error_bytes);
	if (ret != 0)
		return ret;
	while ((ret = ref_next(&r)) == 1) {
		ret = ++rows > UINT16_MAX ? ref_refuse(&r, C_PREFIX, "at most 65535 rows in one file") : row_read(&r, &c);
		if (ret != 0)
			break;
		if (t != NULL)
			row_put(t, seq, (uint16_t)rows, &c);
	}
	csv_close(r.csv);
	return ret != 0 ? ret : t != NULL ? t->error : 0;
}

/* ---- asked ----------------------------------------------------------------------------------------------------- */

static bool row_next(struct iter *it, uint64_t seq, struct contract *ret)
{
	if (!iter_next(it) || it->key_bytes != KEY_SIZE || it->val_bytes != ROW_SIZE || be64_get(it->key) > seq)
		return false;
	*ret = (struct contract){ .first_fen = (int64_t)be64_get(it->val), .account = be32_get(it->val + 8), .from = (int32_t)be32_get(it->val + 12),
				  .to = (int32_t)be32_get(it->val + 16) };
	memcpy(ret->prefix, it->val + 20, sizeof(ret->prefix) - 1);
	memcpy(ret->title, it->val + 41, sizeof(ret->title) - 1);
	return true;
}

bool contract_at(struct txn *t, uint64_t seq, const uint8_t pan[10], int32_t day, struct contract *ret)
{
	char digits[21], *number_of = digits;
	struct contract c;
	bool found = false;
	struct iter it;

	pan_digits(pan, digits);
	while (*number_of == '0')
		number_of++;
	iter_open(t, DB_CONTRACT, NULL, 0, &it);
	while (row_next(&it, seq, &c)) {
		if (day < c.from || day > c.to || strncmp(number_of, c.prefix, strlen(c.prefix)) != 0 || (found && strlen(c.prefix) < strlen(ret->prefix)))
			continue;
		*ret = c;
		found = true;
	}
	iter_close(&it);
	return found;
}

bool contract_title(struct txn *t, uint64_t seq, account_t account, char ret_title[64])
{
	struct contract c;
	bool found = false;
	struct iter it;

	iter_open(t, DB_CONTRACT, NULL, 0, &it);
	while (row_next(&it, seq, &c))
		if (c.account == account) {
			memcpy(ret_title, c.title, sizeof(c.title));
			found = true;
		}
	iter_close(&it);
	return found;
}

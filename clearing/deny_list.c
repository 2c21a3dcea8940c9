/*
 * deny_list - the signed deny list as validators fetch it: made from the table of denied bank cards whenever that has
 * changed, kept in memory, given out in parts. Without the city's token key there is none.
 */
#include "clearing/deny_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct deny_served { uint8_t token_key[BANK_TOKEN_KEY_BYTES]; struct qr_key *key; uint64_t version; char *text; size_t bytes; };

static bool hex_file(const char *path, uint8_t *ret, size_t n)
{
	char line[160] = "";
	FILE *f = fopen(path, "re");
	bool good = f != NULL && fgets(line, sizeof(line), f) != NULL;

	if (f != NULL)
		fclose(f);
	line[strcspn(line, "\r\n")] = '\0';
	good = good && strlen(line) == 2 * n && hex_decode(line, ret, n);
	key_wipe(line, sizeof(line));
	if (!good)
		log_event("bank-key", "file=%s reason=\"%zu hex digits in the first line are needed\"", path, 2 * n);
	return good;
}

int deny_list_open(struct daemon *d)
{
	uint8_t secret[32];
	struct deny_served *s;
	int ret;

	if (d->conf.bank_token_key[0] == '\0')
		return 0;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	if (!hex_file(d->conf.bank_token_key, s->token_key, sizeof(s->token_key)) || !hex_file(d->conf.bank_list_key, secret, sizeof(secret)))
		ret = KEYS_E_FORMAT;
	else
		ret = qr_key_of_secret(secret, &s->key);
	key_wipe(secret, sizeof(secret));
	d->deny = s;
	return ret != 0 ? ret : deny_list_refresh(d);
}

void deny_list_close(struct daemon *d)
{
	if (d->deny == NULL)
		return;
	qr_key_free(d->deny->key);
	free(d->deny->text);
	key_wipe(d->deny, sizeof(*d->deny));
	free(d->deny);
	d->deny = NULL;
}

/* Tokens of every card of the table; *ret_row is malloc'ed. */
static int rows_read(const struct deny_served *s, struct txn *t, struct deny_row **ret_row, size_t *ret_count)
{
	struct deny_row *row = NULL;
	size_t count = 0, space = 0;
	struct denied card;
	struct iter it;
	int ret = 0;

	iter_open(t, DB_DENY, NULL, 0, &it);
	while (ret == 0 && denied_next(&it, &card)) {
		if (count == space) {
			struct deny_row *wide = realloc(row, (space = space ? space * 2 : 256) * sizeof(*wide));

			if (wide == NULL) {
				ret = -ENOMEM;
				break;
			}
			row = wide;
		}
		ret = bank_token(s->token_key, card.pan, row[count].token);
		row[count++].reason = (uint8_t)card.reason;
	}
	iter_close(&it);
	if (ret == 0)
		ret = t->error;
	if (ret != 0) {
		free(row);
		return ret;
	}
	*ret_row = row;
	*ret_count = count;
	return 0;
}

int deny_list_refresh(struct daemon *d)
{
	struct deny_served *s = d->deny;
	struct deny_row *row = NULL;
	uint64_t version = 0;
	size_t count = 0, n = 0;
	char *text = NULL;
	struct txn t;
	int ret = s != NULL ? txn_begin(d->store, false, &t) : 0;

	if (s == NULL || ret != 0)
		return ret;
	version = deny_table_version(&t);
	if (version != s->version)
		ret = rows_read(s, &t, &row, &count);
	txn_abort(&t);
	if (ret != 0 || version == s->version)
		return ret;
	ret = deny_seal(s->key, (uint32_t)version, row, count, &text, &n);
	free(row);
	if (ret != 0)
		return ret;
	pthread_rwlock_wrlock(&d->ref_lock);
	free(s->text);
	s->text = text;
	s->bytes = n;
	s->version = version;
	pthread_rwlock_unlock(&d->ref_lock);
	log_event("deny-list", "version=%llu cards=%zu bytes=%zu", (unsigned long long)version, count, n);
	return 0;
}

const void *deny_list_text(const struct daemon *d, uint32_t *ret_version, size_t *ret_bytes)
{
	*ret_version = d->deny != NULL ? (uint32_t)d->deny->version : 0;
	*ret_bytes = d->deny != NULL ? d->deny->bytes : 0;
	return d->deny != NULL && d->deny->text != NULL ? d->deny->text : "";
}

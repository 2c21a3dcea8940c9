/*
 * agent_bank - see agent_bank.h. What the risk memory holds is written down before a record is spooled: after a power
 * cut a ride may be counted that has no record, never the other way.
 */
#include "validator/agent_bank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RISK_FILE "bank-risk"
#define CARDS_MAX 256
#define VERDICT_GOOD 0			/* enum verdict of clearing/: accepted */

struct agent_bank {
	struct oda_keys *keys;
	struct bank_policy policy;
	struct bank_risk *risk;
	struct deny_list *deny;
	uint8_t point[65];		/* whose signature a deny list carries */
};

/* ---- files ------------------------------------------------------------------------------------------- */

static int hex_read(const char *path, uint8_t *ret, size_t n)
{
	uint8_t *p = NULL;
	size_t bytes = 0;
	int code = agent_file_load(path, &p, &bytes);

	if (code == 0 && (bytes < 2 * n || (bytes > 2 * n && p[2 * n] != '\n')))
		code = KEYS_E_FORMAT;
	if (code == 0) {
		p[2 * n] = '\0';
		code = hex_decode((char *)p, ret, n) ? 0 : KEYS_E_FORMAT;
	}
	if (p != NULL)
		key_wipe(p, bytes);
	free(p);
	if (code != 0)
		agent_log("bank-key", "file=%s reason=\"%zu hex digits in the first line are needed\"", path, 2 * n);
	return code;
}

static int keys_open(const struct agent_conf *c, struct agent_bank *b)
{
	char error[256] = "";
	uint8_t *p = NULL;
	size_t n = 0;
	int ret = agent_file_load(c->bank_scheme_keys, &p, &n);

	if (ret == 0)
		ret = oda_keys_parse(c->bank_scheme_keys, p, n, &b->keys, error, sizeof(error));
	if (ret != 0)
		agent_log("bank-scheme-keys", "reason=\"%s\"", error[0] != '\0' ? error : strerror(-ret));
	free(p);
	return ret;
}

static int list_parse(const struct agent_conf *c, const struct agent_bank *b, const void *p, size_t n, struct deny_list **ret)
{
	char error[256];
	int code = deny_parse(c->denylist, p, n, b->point, ret, error, sizeof(error));

	if (code != 0)
		agent_log("denylist-refused", "reason=\"%s\"", error);
	return code;
}

static void risk_path(const struct agent *a, char ret[PATH_MAX + 16]) { snprintf(ret, PATH_MAX + 16, "%s/" RISK_FILE, a->conf.spool); }

static int risk_save(const struct agent *a)
{
	char path[PATH_MAX + 16];
	uint8_t *p;
	size_t n;
	int ret = bank_risk_save(a->bank->risk, &p, &n);

	if (ret != 0)
		return ret;
	risk_path(a, path);
	ret = agent_file_store(path, p, n);
	free(p);
	return ret;
}

/* A damaged file is told; limits then begin anew, and the deny list still holds. */
static void risk_load(const struct agent *a, struct agent_bank *b)
{
	char path[PATH_MAX + 16];
	uint8_t *p;
	size_t n;

	risk_path(a, path);
	if (agent_file_load(path, &p, &n) != 0)
		return;
	if (!bank_risk_load(b->risk, p, n))
		agent_log("bank-risk", "file=%s reason=\"damaged: first rides are counted anew\"", path);
	free(p);
}

static void list_load(const struct agent_conf *c, struct agent_bank *b)
{
	uint8_t *p;
	size_t n;

	if (agent_file_load(c->denylist, &p, &n) != 0)
		return;
	(void)list_parse(c, b, p, n, &b->deny);		/* damaged: the daemon has the true one */
	free(p);
}

int agent_bank_open(struct agent *a, struct agent_bank **ret_bank)
{
	const struct agent_conf *c = &a->conf;
	struct agent_bank *b;
	int ret;

	*ret_bank = NULL;
	if (c->bank_scheme_keys[0] == '\0')
		return 0;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->policy = (struct bank_policy){ .least = c->bank_sda != 0 ? ODA_SDA : ODA_DDA, .first_fen = (uint32_t)c->bank_first_fen, .card_fen = (uint32_t)c->bank_card_fen,
					  .country = 0x0156, .currency = 0x0156 };
	ret = keys_open(c, b);
	if (ret == 0)
		ret = hex_read(c->bank_token_key, b->policy.token_key, sizeof(b->policy.token_key));
	if (ret == 0)
		ret = hex_read(c->bank_list_point, b->point, sizeof(b->point));
	if (ret == 0)
		ret = bank_risk_new(&b->risk);
	if (ret != 0) {
		agent_bank_close(b);
		return ret;
	}
	risk_load(a, b);
	list_load(c, b);
	*ret_bank = b;
	return 0;
}

void agent_bank_close(struct agent_bank *b)
{
	if (b == NULL)
		return;
	oda_keys_free(b->keys);
	bank_risk_free(b->risk);
	deny_free(b->deny);
	key_wipe(b, sizeof(*b));
	free(b);
}

uint32_t agent_bank_version(const struct agent_bank *b) { return b != NULL ? deny_version(b->deny) : 0; }

int agent_bank_take(struct agent *a, uint32_t version, const void *p, size_t n)
{
	struct agent_bank *b = a->bank;
	struct deny_list *list;
	int ret = list_parse(&a->conf, b, p, n, &list);

	if (ret != 0)
		return ret;
	if (deny_version(list) != version || version < agent_bank_version(b)) {
		agent_log("denylist-refused", "reason=\"version %u is not the one asked for, or older than %u\"", deny_version(list), agent_bank_version(b));
		ret = -EINVAL;
	}
	if (ret == 0)
		ret = agent_file_store(a->conf.denylist, p, n);
	if (ret != 0) {
		deny_free(list);
		return ret;
	}
	deny_free(b->deny);
	b->deny = list;
	return 0;
}

void agent_bank_receipt(struct agent *a, const struct batch *batch, const struct receipt *m)
{
	bool any = false;

	for (uint32_t i = 0; a->bank != NULL && i < batch->count; i++) {
		const char *field;
		struct tap tap;

		if (tap_decode(batch->tap[i].p, batch->tap[i].n, &tap, &field) != 0 || tap.kind != TAP_BANK)
			continue;
		bank_risk_answered(a->bank->risk, &a->bank->policy, &tap, m->verdict[i] == VERDICT_GOOD);
		any = true;
	}
	if (any && risk_save(a) != 0)
		agent_log("bank-risk", "reason=\"cannot be written; rides stay unanswered until the next receipt\"");
}

/* ---- software cards -------------------------------------------------------------------------------------- */

struct wallet {
	struct agent *agent;
	const char *dir;
	struct keyring *ring;
	struct soft_psam *psam;
	struct gate *gate;
	struct bank_gate *bank;
	struct oda_signer *ca, *issuer, *card[CARDS_MAX];
	struct bank_issue issue[CARDS_MAX];
	size_t cards;
};

static void wallet_done(struct wallet *w)
{
	for (size_t i = 0; i < w->cards; i++)
		oda_signer_free(w->card[i]);
	oda_signer_free(w->ca);
	oda_signer_free(w->issuer);
	bank_gate_free(w->bank);
	gate_free(w->gate);
	soft_psam_free(w->psam);
	keyring_free(w->ring);
}

/* "pan,method,fast" a line behind the head; keys in the same order in cards.pem: scheme, bank, cards. */
static int cards_read(struct wallet *w, FILE *csv, FILE *pem)
{
	static const uint8_t aid[] = { 0xA0, 0x00, 0x00, 0x03, 0x33, 0x01, 0x01, 0x01 };
	char line[96], pan[24];
	unsigned method, fast;
	int ret = oda_signer_read(pem, &w->ca);

	if (ret == 0)
		ret = oda_signer_read(pem, &w->issuer);
	if (ret == 0 && fgets(line, sizeof(line), csv) == NULL)
		ret = KEYS_E_FORMAT;
	while (ret == 0 && w->cards < CARDS_MAX && fgets(line, sizeof(line), csv) != NULL) {
		struct bank_issue *i = &w->issue[w->cards];

		*i = (struct bank_issue){ .aid_bytes = sizeof(aid), .ca_index = 8, .ca = w->ca, .issuer = w->issuer, .expiry = { 0x40, 0x12, 0x31 } };
		memcpy(i->aid, aid, sizeof(aid));
		if (sscanf(line, "%23[0-9],%u,%u", pan, &method, &fast) != 3 || !pan_parse(pan, i->pan) || method < ODA_SDA || method > ODA_CDA)
			return KEYS_E_FORMAT;
		i->method = (enum oda_method)method;
		i->fast = fast != 0;
		ret = oda_signer_read(pem, &w->card[w->cards]);
		if (ret == 0)
			i->card = w->card[w->cards++];
	}
	return ret;
}

static int wallet_open(struct wallet *w)
{
	const struct agent *a = w->agent;
	char path[PATH_MAX + 16];
	FILE *csv, *pem;
	int ret;

	snprintf(path, sizeof(path), "%s/cards.csv", w->dir);
	csv = fopen(path, "re");
	snprintf(path, sizeof(path), "%s/cards.pem", w->dir);
	pem = fopen(path, "re");
	ret = csv != NULL && pem != NULL ? cards_read(w, csv, pem) : -ENOENT;
	if (csv != NULL)
		fclose(csv);
	if (pem != NULL)
		fclose(pem);
	if (ret == 0)
		ret = keyring_new(&w->ring);
	if (ret == 0)
		ret = soft_psam_new(w->ring, a->conf.terminal, 1, &w->psam);
	if (ret == 0)
		ret = gate_new(soft_psam_reader(w->psam), &w->gate);
	if (ret == 0)
		ret = bank_gate_new(w->gate, a->bank->keys, &a->bank->policy, a->bank->risk, &w->bank);
	return ret;
}

/* A card's counter lives in a file of its own: it goes on over all validators it is shown to. */
static uint16_t counter_read(const struct wallet *w, unsigned card)
{
	char path[PATH_MAX + 32];
	uint8_t *p;
	size_t n;
	uint16_t counter;

	snprintf(path, sizeof(path), "%s/counter.%u", w->dir, card);
	if (agent_file_load(path, &p, &n) != 0)
		return 0;
	p[n] = '\0';
	counter = (uint16_t)strtoul((char *)p, NULL, 10);
	free(p);
	return counter;
}

static int counter_write(const struct wallet *w, unsigned card, uint16_t counter)
{
	char path[PATH_MAX + 32], text[8];

	snprintf(path, sizeof(path), "%s/counter.%u", w->dir, card);
	return agent_file_store(path, text, (size_t)snprintf(text, sizeof(text), "%u\n", counter));
}

static int present_one(struct wallet *w, unsigned card, bool clone, int64_t at_ms)
{
	struct agent *a = w->agent;
	struct gate_setting s = agent_setting(a);
	struct bank_issue issue = w->issue[card];
	struct soft_bank *soft;
	struct bank_card seen;
	enum gate_answer answer;
	struct tap tap;
	int ret;

	issue.clone = clone;
	issue.atc = counter_read(w, card);
	ret = soft_bank_new(&issue, &soft);
	if (ret != 0)
		return ret;
	answer = bank_gate_tap(w->bank, soft_bank_reader(soft), &s, a->bank->deny, a->serial, at_ms, &tap, &seen);
	ret = counter_write(w, card, soft_bank_atc(soft));
	soft_bank_free(soft);
	agent_log("bank-tap", "card=%u answer=%s text=\"%s\" oda=%s found=%s what=%s fen=%u", card, gate_answer_name(answer), gate_answer_text(answer),
		  oda_method_name(seen.method), oda_verdict_name(seen.verdict), seen.what != NULL ? seen.what : "-", answer == GATE_GO ? tap.amount_fen : 0);
	if (answer != GATE_GO || ret != 0)
		return ret;
	a->serial++;
	ret = risk_save(a);
	if (ret == 0)
		ret = agent_serial_save(a, 0);
	return ret != 0 ? ret : agent_record(a, &tap);
}

int agent_bank_present(struct agent *a, const char *dir, const char *list)
{
	struct wallet w = { .agent = a, .dir = dir };
	int64_t now = agent_clock_ms() + a->offset_ms;
	int ret = a->bank != NULL ? wallet_open(&w) : -ENOENT;
	const char *p = list;

	for (unsigned nth = 0; ret == 0 && *p != '\0'; nth++) {
		char *end;
		unsigned long card = strtoul(p, &end, 10);
		bool clone = *end == 'x';
		long seconds = 0;

		end += clone;
		if (*end == '@')
			seconds = strtol(end + 1, &end, 10);
		if (end == p || card >= w.cards || (*end != ',' && *end != '\0')) {
			ret = -EINVAL;
			break;
		}
		ret = present_one(&w, (unsigned)card, clone, now + seconds * 1000 + nth);
		p = *end == ',' ? end + 1 : end;
	}
	wallet_done(&w);
	return ret;
}

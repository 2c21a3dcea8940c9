/*
 * control_bank - a file about bank cards over the control socket: the bank's list of cards, arrears that were paid.
 * Checked whole against what is open, then one event.
 */
#include "clearing/control.h"

struct cards { const struct request *q; uint64_t seq; char error[512]; };

static int cards_call(struct txn *t, void *arg)
{
	struct cards *c = arg;
	const void *part = c->q->bulk;
	int ret = bank_event_check(t, c->q->bulk, c->q->bulk_bytes, c->error, sizeof(c->error));

	if (ret != 0)
		return ret;
	c->seq = inbox_append(t, EVENT_BANK, clock_ms(), &part, &c->q->bulk_bytes, 1);
	return t->error != 0 ? t->error : bank_event_apply(t, c->q->bulk, c->q->bulk_bytes);
}

void control_bank(struct daemon *d, const struct request *q, FILE *out)
{
	struct cards c = { .q = q };
	struct jsonw j;
	int ret = writer_call(d, cards_call, &c);

	if (ret != 0) {
		answer_error(out, ret, c.error);
		return;
	}
	log_event("bank-cards", "bytes=%zu seq=%llu", q->bulk_bytes, (unsigned long long)c.seq);
	answer_begin(&j, out);
	jsonw_kint(&j, "seq", (int64_t)c.seq);
	jsonw_object_end(&j);
}

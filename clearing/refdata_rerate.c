/*
 * refdata_rerate - two persons ask for settled rides to be rated again. Both sign the service days and the day that is
 * open, so that a request is good for one clear and a signature for one request; what it would do is seen first by
 * a dry run. The clear of that day books it.
 */
#include "clearing/refdata.h"

#include <string.h>

size_t rerate_text(int32_t from, int32_t to, int32_t open_day, char ret_text[PUBLISH_TEXT_BYTES])
{
	char a[11], b[11], c[11];

	day_format(from, a);
	day_format(to, b);
	day_format(open_day, c);
	return (size_t)snprintf(ret_text, PUBLISH_TEXT_BYTES, "qingfen rerate\nfrom %s\nto %s\nopen_day %s\n", a, b, c);
}

static int refuse(char *error, size_t error_bytes, const char *text)
{
	snprintf(error, error_bytes, "rerate: %s", text);
	return CLEARING_E_REFERENCE;
}

static struct rerate_ask *ask_find(struct refdata *r, int32_t from, int32_t to, int32_t day)
{
	for (size_t i = 0; i < r->rerate_count; i++)
		if (r->rerate[i].from == from && r->rerate[i].to == to && r->rerate[i].day == day)
			return &r->rerate[i];
	return NULL;
}

static void ask_add(struct refdata *r, const struct rerate_ask *ask)
{
	if (r->rerate_count == RERATES_MAX)	/* the oldest is of a day long cleared, or found no second */
		memmove(&r->rerate[0], &r->rerate[1], --r->rerate_count * sizeof(r->rerate[0]));
	r->rerate[r->rerate_count++] = *ask;
}

int rerate_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct rerate_ask ask = { 0 }, *first;
	const struct person_row *person;
	char text[PUBLISH_TEXT_BYTES];
	int ret;

	if (n != RERATE_BYTES)
		return refuse(error, error_bytes, "the event has another length");
	ask.from = (int32_t)be32_get(p);
	ask.to = (int32_t)be32_get(p + 4);
	ask.day = (int32_t)be32_get(p + 104);
	if (ask.from > ask.to || ask.to >= ask.day)
		return refuse(error, error_bytes, "from, to and the open day must follow each other");
	ret = signature_check(ref, "rerate", p, text, rerate_text(ask.from, ask.to, ask.day, text), error, error_bytes);
	if (ret != 0)
		return ret;
	first = ask_find(ref, ask.from, ask.to, ask.day);
	if (first == NULL) {
		memcpy(ask.by, p + 8, sizeof(ask.by));
		memcpy(ask.key, person_find(ref->person, ref->person_count, ask.by)->key, sizeof(ask.key));
		if (!dry)
			ask_add(ref, &ask);
		return 0;
	}
	if (first->agreed_seq != 0)
		return refuse(error, error_bytes, "two persons have signed this already; it is booked when the day is cleared");
	if (strcmp(first->by, (const char *)p + 8) == 0)
		return refuse(error, error_bytes, "signed by this person already, a second person is needed");
	person = person_find(ref->person, ref->person_count, first->by);
	if (person == NULL || memcmp(person->key, first->key, sizeof(first->key)) != 0)
		return refuse(error, error_bytes, "the first signer is no longer on the list; ask again on the next day");
	if (!dry)
		first->agreed_seq = ref->seq;
	return 0;
}

bool refdata_rerate(const struct refdata *r, size_t i, struct rerate_state *ret)
{
	if (i >= r->rerate_count)
		return false;
	*ret = (struct rerate_state){ r->rerate[i].from, r->rerate[i].to, r->rerate[i].day, r->rerate[i].by, r->rerate[i].agreed_seq };
	return true;
}

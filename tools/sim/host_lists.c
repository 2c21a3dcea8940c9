/*
 * host_lists - the black list and the tariff as the host hands them out, in small parts: replaced in the middle, damaged
 * once, and then left alone, when a terminal that took them asks no more.
 */
#include "tools/sim/host.h"

#include <stdlib.h>
#include <string.h>

#define LIST_PART_BYTES 600
#define TARIFF_PARTS 5
#define ASKED_AGAIN_MS 1000

static enum host_rule rule_of(const struct host *h, const struct host_list *l) { return l == &h->tariff ? HOST_TARIFF : HOST_LIST; }

static void get_refuse(struct host *h)
{
	struct refuse m = { .code = TAP_E_RANGE, .text = "blacklist and tariff can be asked for" };
	int n = refuse_encode(&m, h->out, sizeof(h->out));

	host_link_send(h, h->out, n > 0 ? (size_t)n : 0);
}

void host_list_get(struct host *h, const struct frame *f)
{
	struct host_list *l;
	struct part m = { 0 };
	struct get g;
	int n;

	if (get_decode(f, &g) != 0) {
		host_fault(h, HOST_TURN, "a get that cannot be read");
		return;
	}
	l = strcmp(g.what, "tariff") == 0 ? &h->tariff : strcmp(g.what, "blacklist") == 0 ? &h->blacklist : NULL;
	if (l == NULL || l->version == 0 || g.offset > l->n) {
		get_refuse(h);
		return;
	}
	if (g.offset != 0 && g.offset != l->next)
		host_fault(h, rule_of(h, l), "%s was asked for from %u, not from 0 or %zu", g.what, g.offset, l->next);
	l->asked++;
	if (l->replace && l->parts == 1)
		l->version++;			/* replaced between two parts: the terminal begins again */
	memcpy(m.what, g.what, sizeof(m.what));
	m.version = l->version;
	m.offset = g.offset;
	m.total = (uint32_t)l->n;
	m.p = l->p + g.offset;
	m.n = (uint32_t)(l->n - g.offset < l->part ? l->n - g.offset : l->part);
	n = part_encode(&m, h->out, sizeof(h->out));
	if (n <= 0)
		return;
	if (l->damage && m.offset + m.n == l->n)
		h->out[n - 1] ^= 0x55;		/* a byte of the last part differs */
	host_link_send(h, h->out, (size_t)n);
	l->next = l->replace && l->parts == 1 ? 0 : g.offset + m.n;
	l->whole = l->whole || l->next == l->n;
	l->parts++;
}

/* Serves until the list is out whole; batches that come meanwhile stay open. */
static bool list_serve(struct host *h, struct host_list *l, int64_t wait_ms)
{
	int64_t until = host_now_ms() + wait_ms;

	l->asked = l->parts = 0;
	l->whole = false;
	l->next = 0;
	while (!l->whole && host_now_ms() < until) {
		host_batch_next(h, until - host_now_ms() < 100 ? until - host_now_ms() : 100);
		if (h->pending && h->ssl == NULL)
			h->pending = false;
	}
	return l->whole;
}

/* On a new connection the terminal that has the list asks no more. */
static bool list_left_alone(struct host *h, struct host_list *l)
{
	int64_t until;

	host_link_close(h);
	if (host_link_open(h, host_now_ms() + h->wait_ms) == 0)
		return false;
	until = host_now_ms() + ASKED_AGAIN_MS;
	l->asked = 0;
	while (host_now_ms() < until)
		host_batch_next(h, 100);
	return l->asked == 0;
}

static enum host_outcome standing(const struct host *h, enum host_rule rule) { return h->outcome[rule] == HOST_FAILED ? HOST_FAILED : HOST_PASSED; }

enum host_outcome host_scene_list(struct host *h)
{
	struct host_list *l = &h->blacklist;

	l->version = (uint32_t)(host_clock_ms() / 1000);	/* no version the terminal has */
	l->replace = true;
	host_link_close(h);
	if (!list_serve(h, l, h->wait_ms))
		return host_fault(h, HOST_LIST, l->asked == 0 ? "version %u was not asked for in %d s" : "version %u was not downloaded whole in %d s", l->version,
				  (int)(h->wait_ms / 1000));
	l->replace = false;
	if (!list_left_alone(h, l))
		return host_fault(h, HOST_LIST, "version %u was asked for again, or the terminal did not come back", l->version);
	return standing(h, HOST_LIST);
}

enum host_outcome host_scene_tariff(struct host *h)
{
	struct host_list *l = &h->tariff;
	uint32_t version = h->tariff_version;

	if (l->p == NULL)
		return HOST_NOT_SEEN;		/* no --tariff */
	l->version = version;
	l->damage = true;
	host_link_close(h);
	if (!list_serve(h, l, h->wait_ms < 60000 ? h->wait_ms : 60000))
		return l->asked == 0 ? HOST_NOT_SEEN : host_fault(h, HOST_TARIFF, "version %u was not downloaded whole", version);
	l->damage = false;
	host_link_close(h);
	if (!list_serve(h, l, h->wait_ms))
		return host_fault(h, HOST_TARIFF, "a damaged tariff was put in force, or the good one was not asked for in %d s", (int)(h->wait_ms / 1000));
	if (!list_left_alone(h, l))
		return host_fault(h, HOST_TARIFF, "version %u was asked for again, or the terminal did not come back", version);
	return standing(h, HOST_TARIFF);
}

static void pack_fault(void *arg, const char *text)
{
	(void)arg;
	complain("%s", text);
}

int host_lists_open(struct host *h)
{
	struct tariff *t = NULL;
	size_t n = 0;
	void *blob = NULL;

	for (unsigned i = 0; i < 60; i++)
		n += (size_t)snprintf(h->blacklist_text + n, sizeof(h->blacklist_text) - n, "9999%011u,9999%011u\n", i * 10, i * 10 + 1);
	h->blacklist = (struct host_list){ .what = "blacklist", .p = (const uint8_t *)h->blacklist_text, .n = n, .part = LIST_PART_BYTES };
	h->tariff = (struct host_list){ .what = "tariff" };
	if (h->pack == NULL)
		return 0;
	if (tariff_compile(h->pack, pack_fault, NULL, &blob, &n) != 0 || tariff_open(blob, n, &t) != 0) {
		complain("sim host: %s: no tariff pack that compiles", h->pack);
		free(blob);
		return EXIT_CONFIG;
	}
	h->tariff_blob = blob;
	h->tariff_version = tariff_version(t);
	h->tariff.p = blob;
	h->tariff.n = n;
	h->tariff.part = n / TARIFF_PARTS + 1 < 128 * 1024 ? n / TARIFF_PARTS + 1 : 128 * 1024;
	tariff_close(t);
	return 0;
}

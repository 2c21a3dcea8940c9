/* qfval_gate - tariff, black list and gate of libqfval: the folder's own, in the caller's memory. */
#include "validator/qfval_inner.h"
#include "validator/gate.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static_assert((int)QFV_CARD_ERROR == (int)GATE_CARD_ERROR && (int)QFV_TAP_AGAIN == (int)GATE_TAP_AGAIN, "answers have one number");

/* ---- tariff and list: the public types are names for the folder's ------------------------------------------ */

size_t qfv_tariff_size(void) { return tariff_size(); }

int qfv_tariff_init(void *mem, size_t n, const void *blob, size_t blob_bytes, struct qfv_tariff **ret)
{
	int code = qfval_memory_good(mem, n, tariff_size()) ? tariff_init(mem, blob, blob_bytes) : QFV_E_MEMORY;

	if (code != 0)
		return code == QFV_E_MEMORY ? code : qfval_code(code);
	*ret = mem;
	return 0;
}

static const struct tariff *tariff_of(const struct qfv_tariff *t) { return (const struct tariff *)(const void *)t; }

uint32_t qfv_tariff_version(const struct qfv_tariff *t) { return tariff_version(tariff_of(t)); }

size_t qfv_blacklist_size(size_t lines) { return hotlist_size(lines); }

int qfv_blacklist_init(void *mem, size_t n, const char *text, size_t text_bytes, char *ret_reason, size_t reason_bytes,
		       struct qfv_blacklist **ret)
{
	char reason[160] = "";
	int code;

	if (!qfval_memory_good(mem, n, hotlist_size(0)))
		return QFV_E_MEMORY;
	code = hotlist_init(mem, n, "blacklist", text, text_bytes, reason, sizeof(reason));
	if (code != 0) {
		if (ret_reason != NULL)
			snprintf(ret_reason, reason_bytes, "%s", reason);
		return code == -EINVAL ? QFV_E_SYNTAX : qfval_code(code);
	}
	*ret = mem;
	return 0;
}

static const struct hotlist *list_of(const struct qfv_blacklist *l) { return (const struct hotlist *)(const void *)l; }

int qfv_blacklist_has(const struct qfv_blacklist *l, const uint8_t pan[10]) { return hotlist_has(list_of(l), pan); }

/* ---- gate ---------------------------------------------------------------------------------------------------- */

struct wire { struct reader reader; qfv_transmit_fn transmit; void *arg; };
struct qfv_gate {
	struct wire psam;
	struct gate_setting setting;
	struct qfv_tap record[2];
	unsigned count;
	struct gate *gate;		/* behind this */
};

static int wire_transmit(struct reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct wire *w = (struct wire *)(void *)r;

	return w->transmit(w->arg, apdu, n, ret, ret_bytes);
}

/* Before place and lists are set there is nothing to record or to price. */
static bool placed(const struct qfv_gate *g) { return g->setting.line[0] != '\0'; }

static struct wire wire_of(qfv_transmit_fn transmit, void *arg)
{
	return (struct wire){ .reader.transmit = wire_transmit, .transmit = transmit, .arg = arg };
}

size_t qfv_gate_size(void) { return QFVAL_ROUND(sizeof(struct qfv_gate)) + gate_size(); }

int qfv_gate_init(void *mem, size_t n, qfv_transmit_fn psam, void *psam_arg, struct qfv_gate **ret)
{
	struct qfv_gate *g = mem;
	int code;

	if (!qfval_memory_good(mem, n, qfv_gate_size()))
		return QFV_E_MEMORY;
	if (psam == NULL)
		return QFV_E_ARGUMENT;
	*g = (struct qfv_gate){ .psam = wire_of(psam, psam_arg) };
	g->gate = (struct gate *)(void *)((char *)mem + QFVAL_ROUND(sizeof(*g)));
	code = qfval_code(gate_init(g->gate, &g->psam.reader));
	if (code != 0)
		return code;
	*ret = g;
	return 0;
}

static_assert(RIDE_ON == RIDE_SINGLE + 1 && RIDE_OFF == RIDE_SINGLE + 2, "a place's ride is added to a single one");

/* A place of an older header ends before it. */
static uint32_t ride_of(const struct qfv_place *p) { return p->size >= offsetof(struct qfv_place, ride) + sizeof(p->ride) ? p->ride : 0; }

int qfv_gate_place(struct qfv_gate *g, const struct qfv_place *p)
{
	struct gate_setting *s = &g->setting;

	if (p->size < offsetof(struct qfv_place, inside) || p->line == NULL || p->vehicle == NULL || p->line[0] == '\0')
		return QFV_E_ARGUMENT;
	if (strlen(p->line) >= sizeof(s->line) || strlen(p->vehicle) >= sizeof(s->vehicle) || p->direction > 1 || ride_of(p) > 2)
		return QFV_E_RANGE;
	s->operator_id = p->operator_id;
	s->driver = p->driver;
	s->list_version = p->list_version;
	s->city = p->city;
	s->stop = p->stop;
	s->direction = p->direction;
	s->event = (enum ride_event)(RIDE_SINGLE + ride_of(p));
	s->inside = p->size > offsetof(struct qfv_place, inside) && p->inside != 0;
	memcpy(s->acquirer, p->acquirer, sizeof(s->acquirer));
	memset(s->line, 0, sizeof(s->line));
	memcpy(s->line, p->line, strlen(p->line));
	memset(s->vehicle, 0, sizeof(s->vehicle));
	memcpy(s->vehicle, p->vehicle, strlen(p->vehicle));
	return 0;
}

int qfv_gate_lists(struct qfv_gate *g, const struct qfv_tariff *tariff, const struct qfv_blacklist *list)
{
	if (tariff == NULL)
		return QFV_E_ARGUMENT;
	g->setting.tariff = tariff_of(tariff);
	g->setting.hotlist = list_of(list);
	return 0;
}

int qfv_gate_tap(struct qfv_gate *g, qfv_transmit_fn card, void *card_arg, int64_t now_ms, unsigned *ret_count)
{
	struct wire wire = wire_of(card, card_arg);
	struct tap tap[2];
	enum gate_answer answer;

	if (g->setting.tariff == NULL || !placed(g) || card == NULL)
		return QFV_E_ARGUMENT;
	answer = gate_tap(g->gate, &wire.reader, &g->setting, now_ms, tap, &g->count);
	for (unsigned i = 0; i < g->count; i++)
		g->record[i].tap = tap[i];
	*ret_count = g->count;
	return (int)answer;
}

const struct qfv_tap *qfv_gate_record(const struct qfv_gate *g, unsigned i) { return i < g->count ? &g->record[i] : NULL; }

int qfv_gate_event(const struct qfv_gate *g, int kind, uint32_t serial, int64_t now_ms, struct qfv_tap *t)
{
	struct tap tap = { .kind = (uint32_t)kind, .terminal_serial = serial };

	if (!placed(g) || (kind != TAP_MANUAL && (kind < TAP_SIGN_ON || kind > TAP_LINE_ON)))
		return QFV_E_ARGUMENT;
	if (kind == TAP_MANUAL) {
		tap.medium = MEDIUM_MANUAL;
		tap.card_class = 1;
	}
	gate_record_place(g->gate, &g->setting, now_ms, &tap);
	t->tap = tap;
	return 0;
}

const char *qfv_answer_name(int answer)
{
	return answer >= 0 && answer < GATE_ANSWER_COUNT ? gate_answer_name((enum gate_answer)answer) : "?";
}

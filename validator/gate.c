/*
 * gate - one tap at the kerb: read the card, price the ride with the same rate() as the clearing house, and run the
 * purchase between card and PSAM. The record exists before the debit: if the card leaves the field then, what is
 * kept is a grey record, and when the card comes back the card itself says whether it had paid.
 *
 * The invariant: whatever a card may have paid has a record. A debit whose outcome is not known is grey; a
 * recovered record is the grey one with its code, so both have one business key.
 */
#include "validator/gate.h"

#include "keys/octets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TORN_MAX 64			/* grey records a gate waits for; older ones stay grey */
#define TORN_SAME_RIDE_MS 60000		/* back within a minute: the same boarding; later: a new ride */

#define CARD_CLASS_TEST 4
#define RIDERS_MAX 256

struct torn { bool used; struct tap tap; struct rider_state after; };
struct gate {
	struct reader *psam;
	uint8_t terminal[6];
	struct torn torn[TORN_MAX];
	unsigned torn_next;
	/* riders seen lately, for transfers and repeat taps on this vehicle */
	struct { uint8_t pan[10]; struct rider_state state; } rider[RIDERS_MAX];
	unsigned rider_next;
};

struct apdu { uint8_t out[160], in[160]; int n; };

/* Status 9000 and the data bytes before it; else the status, or -EIO. */
static int send(struct reader *r, struct apdu *a, const uint8_t head[4], const uint8_t *data, size_t lc)
{
	memcpy(a->out, head, 4);
	a->out[4] = (uint8_t)lc;
	if (lc > 0)
		memcpy(a->out + 5, data, lc);
	a->n = r->transmit(r, a->out, 5 + lc, a->in, sizeof(a->in));
	if (a->n < 2 || a->n > (int)sizeof(a->in)) {
		a->n = -EIO;
		return -EIO;
	}
	a->n -= 2;
	return a->in[a->n] << 8 | a->in[a->n + 1];
}

static void put(uint8_t *p, uint32_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

size_t gate_size(void) { return sizeof(struct gate); }

int gate_init(struct gate *g, struct reader *psam)
{
	struct apdu a;

	memset(g, 0, sizeof(*g));
	g->psam = psam;
	if (send(psam, &a, (uint8_t[]){ 0x00, 0xB0, 0x80 | 0x16, 0x00 }, NULL, 0) != 0x9000 || a.n != 6 || !bcd_valid(a.in, 6))
		return -EIO;	/* with another number every record of this gate would be refused */
	memcpy(g->terminal, a.in, 6);
	return 0;
}

int gate_new(struct reader *psam, struct gate **ret_gate)
{
	struct gate *g = malloc(sizeof(*g));
	int ret = g != NULL ? gate_init(g, psam) : -ENOMEM;

	if (ret != 0) {
		free(g);
		return ret;
	}
	*ret_gate = g;
	return 0;
}

void gate_free(struct gate *g) { free(g); }

/* ---- reading the card ---------------------------------------------------------------------------------- */

struct session { struct gate *g; struct reader *card; const struct gate_setting *s; int64_t now_ms; struct card_info info; struct card_log last; bool has_last; };

/* No answer: the card left. A status: it is not a card we take. */
static enum gate_answer read_failed(const struct apdu *a) { return a->n < 0 ? GATE_TAP_AGAIN : GATE_CARD_REFUSED; }

static enum gate_answer card_read(struct session *x)
{
	static const uint8_t aid[] = { 0xA0, 0x00, 0x00, 0x06, 0x32, 0x01, 0x01, 0x05 };
	const char *reason;
	struct apdu a;

	if (send(x->card, &a, (uint8_t[]){ 0x00, 0xA4, 0x04, 0x00 }, aid, sizeof(aid)) != 0x9000)
		return read_failed(&a);
	if (send(x->card, &a, (uint8_t[]){ 0x00, 0xB0, 0x80 | 0x15, 0x00 }, NULL, 0) != 0x9000)
		return read_failed(&a);
	if (card_parse_15(a.in, (size_t)a.n, &x->info, &reason) != 0 || x->info.app_type != 2 || x->info.app_version != 1)
		return GATE_CARD_REFUSED;
	if (send(x->card, &a, (uint8_t[]){ 0x00, 0xB0, 0x80 | 0x17, 0x00 }, NULL, 0) != 0x9000)
		return read_failed(&a);
	if (card_parse_17(a.in, (size_t)a.n, &x->info, &reason) != 0)
		return GATE_CARD_REFUSED;
	if (send(x->card, &a, (uint8_t[]){ 0x00, 0xB2, 1, 0xC4 }, NULL, 0) != 0x9000 && a.n < 0)
		return GATE_TAP_AGAIN;		/* a card without any log answers 6A83 and is welcome */
	x->has_last = card_parse_18(a.in, (size_t)a.n, &x->last, &reason) == 0;
	return GATE_GO;
}

static enum gate_answer card_allowed(const struct session *x)
{
	if (day_of_ms(x->now_ms) > x->info.expiry || day_of_ms(x->now_ms) < x->info.start)
		return GATE_EXPIRED;
	if (x->s->hotlist != NULL && hotlist_has(x->s->hotlist, x->info.pan))
		return GATE_BLACKLISTED;
	if (x->info.card_class == 0 || x->info.card_class > 5)
		return GATE_CARD_REFUSED;
	if (x->info.city != x->s->city && x->info.interop != 1)
		return GATE_CARD_REFUSED;	/* another city's card that is good only at home */
	return GATE_GO;
}

/* ---- pricing ------------------------------------------------------------------------------------------------ */

struct rider_state *gate_rider(struct gate *g, const uint8_t pan[10])
{
	for (size_t i = 0; i < RIDERS_MAX; i++)
		if (memcmp(g->rider[i].pan, pan, 10) == 0)
			return &g->rider[i].state;
	g->rider_next = (g->rider_next + 1) % RIDERS_MAX;
	memcpy(g->rider[g->rider_next].pan, pan, 10);
	g->rider[g->rider_next].state = (struct rider_state){ 0 };
	return &g->rider[g->rider_next].state;
}

void gate_record_place(const struct gate *g, const struct gate_setting *s, int64_t now_ms, struct tap *t)
{
	t->version = TAP_VERSION;
	t->time_ms = now_ms / 1000 * 1000;
	if (s->inside)
		t->flags |= TAP_INSIDE;
	t->operator_id = s->operator_id;
	t->direction = s->direction;
	t->stop = s->stop;
	t->driver = s->driver;
	t->accept_city = s->city;
	t->list_version = s->list_version;
	t->tariff_version = s->tariff != NULL ? tariff_version(s->tariff) : 0;
	memcpy(t->acquirer, s->acquirer, 4);
	memcpy(t->terminal, g->terminal, 6);
	memcpy(t->psam, g->terminal, 6);
	memcpy(t->line, s->line, sizeof(t->line));
	memcpy(t->vehicle, s->vehicle, sizeof(t->vehicle));
}

static uint32_t kind_of(enum ride_event event)
{
	return event == RIDE_ON ? TAP_BOARD : event == RIDE_OFF ? TAP_ALIGHT : TAP_PURCHASE;
}

static struct tap record_start(const struct session *x)
{
	struct tap t = { .kind = kind_of(x->s->event), .medium = MEDIUM_PURSE, .card_city = x->info.city, .card_class = x->info.card_class,
			 .card_subtype = x->info.subtype, .txn_type = 0x09 };

	gate_record_place(x->g, x->s, x->now_ms, &t);
	if (x->info.card_class == CARD_CLASS_TEST)
		t.flags |= TAP_TEST;
	memcpy(t.pan, x->info.pan, 10);
	memcpy(t.issuer, x->info.issuer, 4);
	if (x->has_last) {
		t.prev_counter = x->last.counter;
		t.prev_amount_fen = x->last.amount_fen;
		t.prev_type = x->last.type;
		t.prev_time_ms = x->last.time_ms;
		memcpy(t.prev_terminal, x->last.terminal, 6);
	}
	return t;
}

/* What the tap moves is taken: a hold at the tap-on, the rest at the tap-off. A purse gives nothing back: where more was held
 * than the ride costs, nothing is taken and the clearing house owes the rider the difference. */
enum gate_answer gate_price(struct gate *g, const struct gate_setting *s, struct tap *t, struct rider_state *ret_state)
{
	static const struct rider nobody = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct ride ride;
	struct fare fare;

	tap_ride(t, s->tariff, &ride);
	rate(s->tariff, &nobody, gate_rider(g, t->pan), &ride, ret_state, &fare, NULL);
	if (fare.reject != FARE_OK)
		return fare.reject == FARE_REPEAT_TAP ? GATE_REPEAT : GATE_NO_PRICE;
	t->list_fen = (uint32_t)fare.published.fen;
	t->amount_fen = fare.moved.fen > 0 ? (uint32_t)fare.moved.fen : 0;
	return GATE_GO;
}

/* ---- purchase ------------------------------------------------------------------------------------------------- */

static enum gate_answer card_init(const struct session *x, struct tap *t)
{
	uint8_t data[11] = { 0x01 };
	struct apdu a;
	int sw;

	put(data + 1, t->amount_fen, 4);
	memcpy(data + 5, t->terminal, 6);
	sw = send(x->card, &a, (uint8_t[]){ 0x80, 0x50, 0x03, 0x02 }, data, sizeof(data));
	if (sw == 0x9401)
		return GATE_LOW_BALANCE;
	if (sw != 0x9000 || a.n != 15)
		return sw == -EIO ? GATE_TAP_AGAIN : GATE_CARD_ERROR;
	t->balance_before = be_read(a.in, 4) & 0x7FFFFFFF;
	t->balance_after = t->balance_before - t->amount_fen;
	t->card_counter = be_read(a.in + 4, 2);
	t->key_version = a.in[9];
	t->alg_id = a.in[10];
	memcpy(t->random, a.in + 11, 4);
	return GATE_GO;
}

static enum gate_answer sam_init(const struct session *x, struct tap *t, uint8_t ret_mac1[4])
{
	struct mac_time time = mac_time_of_ms(t->time_ms);
	uint8_t data[0x24];
	struct apdu a;

	memcpy(data, t->random, 4);
	put(data + 4, t->card_counter, 2);
	put(data + 6, t->amount_fen, 4);
	data[10] = (uint8_t)t->txn_type;
	memcpy(data + 11, time.bcd, 7);
	data[18] = (uint8_t)t->key_version;
	data[19] = (uint8_t)t->alg_id;
	memcpy(data + 20, t->pan + 2, 8);
	memcpy(data + 28, t->issuer, 4);
	memset(data + 32, 0xFF, 4);
	if (send(x->g->psam, &a, (uint8_t[]){ 0x80, 0x70, 0x00, 0x00 }, data, sizeof(data)) != 0x9000 || a.n != 8)
		return GATE_CARD_REFUSED;	/* no key for this issuer in the PSAM */
	t->terminal_serial = be_read(a.in, 4);
	memcpy(ret_mac1, a.in + 4, 4);
	return GATE_GO;
}

static enum gate_answer cache_update(const struct session *x, const struct tap *t)
{
	struct mac_time time = mac_time_of_ms(t->time_ms);
	uint8_t record[48] = { 0x06 };
	struct apdu a;

	memcpy(record + 3, t->terminal, 6);
	record[9] = 0x02;
	put(record + 17, t->amount_fen, 4);
	put(record + 21, (uint32_t)t->balance_after, 4);
	memcpy(record + 25, time.bcd, 7);
	put(record + 32, x->s->city, 2);
	memcpy(record + 34, x->s->acquirer, 4);
	memset(record + 38, 0xFF, 4);
	return send(x->card, &a, (uint8_t[]){ 0x80, 0xDC, 0x00, 0xF0 }, record, sizeof(record)) == 0x9000 ? GATE_GO : GATE_TAP_AGAIN;
}

static void torn_keep(struct gate *g, const struct tap *t, const struct rider_state *after)
{
	g->torn[g->torn_next % TORN_MAX] = (struct torn){ true, *t, *after };
	g->torn_next++;
}

/* The PSAM's check of MAC2 comes after the card has paid: whatever it says, the record stays. */
static enum gate_answer sam_credit(const struct session *x, const uint8_t mac2[4])
{
	struct apdu a;
	int sw = send(x->g->psam, &a, (uint8_t[]){ 0x80, 0x72, 0x00, 0x00 }, mac2, 4);

	return sw == 0x9000 || sw == -EIO ? GATE_GO : GATE_CARD_ERROR;
}

/* *ret_paid: the card paid, or may have. */
static enum gate_answer card_debit(const struct session *x, struct tap *t, const uint8_t mac1[4], bool *ret_paid)
{
	struct mac_time time = mac_time_of_ms(t->time_ms);
	uint8_t data[15];
	struct apdu a;
	int sw;

	put(data, t->terminal_serial, 4);
	memcpy(data + 4, time.bcd, 7);
	memcpy(data + 11, mac1, 4);
	sw = send(x->card, &a, (uint8_t[]){ 0x80, 0x54, 0x01, 0x00 }, data, sizeof(data));
	*ret_paid = sw == -EIO || sw == 0x9000;
	if (sw == -EIO || (sw == 0x9000 && a.n != 8)) {
		memset(t->tac, 0xFF, 4);
		t->flags |= TAP_GREY;
		return GATE_TAP_AGAIN;
	}
	if (sw != 0x9000)
		return GATE_CARD_ERROR;
	memcpy(t->tac, a.in, 4);
	return sam_credit(x, a.in + 4);
}

/* The card's newest log entry is the torn purchase itself, not one that another terminal made with the
 * counter ours left unused. */
static bool log_is_of(const struct session *x, const struct tap *t)
{
	return x->has_last && x->last.counter == t->card_counter && x->last.amount_fen == t->amount_fen &&
	       x->last.time_ms == t->time_ms && memcmp(x->last.terminal, t->terminal, 6) == 0;
}

static struct torn *torn_of(struct gate *g, const uint8_t pan[10])
{
	for (size_t i = 0; i < TORN_MAX; i++)
		if (g->torn[i].used && memcmp(g->torn[i].tap.pan, pan, 10) == 0)
			return &g->torn[i];
	return NULL;
}

/*
 * The card is back: did the torn purchase commit? Then its code completes the record. GATE_GO: asked and
 * answered; *ret_count says whether it had paid. GATE_TAP_AGAIN: the card left before it could say.
 */
static enum gate_answer recover(const struct session *x, struct torn *torn, struct tap *ret_tap, unsigned *ret_count)
{
	uint8_t counter[2];
	struct apdu a;
	int sw;

	if (!log_is_of(x, &torn->tap)) {
		torn->used = false;
		return GATE_GO;
	}
	put(counter, torn->tap.card_counter + 1u, 2);
	sw = send(x->card, &a, (uint8_t[]){ 0x80, 0x5A, 0x00, (uint8_t)torn->tap.txn_type }, counter, 2);
	if (sw == -EIO)
		return GATE_TAP_AGAIN;
	torn->used = false;
	if (sw != 0x9000 || a.n != 8)
		return GATE_GO;
	*ret_tap = torn->tap;
	ret_tap->flags = (ret_tap->flags & ~(uint32_t)TAP_GREY) | TAP_RECOVERED;
	memcpy(ret_tap->tac, a.in + 4, 4);
	*ret_count = 1;
	*gate_rider(x->g, ret_tap->pan) = torn->after;
	return GATE_GO;
}

/* Price, INIT, SAM, cache, debit. One record when the card paid or may have. */
static enum gate_answer purchase(const struct session *x, struct tap *ret_tap, unsigned *ret_count)
{
	struct tap t = record_start(x);
	struct rider_state after;
	uint8_t mac1[4];
	bool paid = false;
	enum gate_answer answer = gate_price(x->g, x->s, &t, &after);

	if (answer == GATE_GO)
		answer = card_init(x, &t);
	if (answer == GATE_GO)
		answer = sam_init(x, &t, mac1);
	if (answer == GATE_GO)
		answer = cache_update(x, &t);
	if (answer == GATE_GO)
		answer = card_debit(x, &t, mac1, &paid);
	if (!paid)
		return answer;
	if ((t.flags & TAP_GREY) != 0)
		torn_keep(x->g, &t, &after);
	else
		*gate_rider(x->g, t.pan) = after;
	*ret_tap = t;
	*ret_count = 1;
	return answer;
}

/* Lock the application of a black-listed card for good. A record only when the card said it is done; a card that left, or
 * a PSAM without the issuer's lock key, is refused all the same and locked another time. */
static void card_lock(const struct session *x, struct tap *ret_tap, unsigned *ret_count)
{
	static const uint8_t command[] = { 0x84, 0x1E, 0x00, 0x00, 0x04, 0x80, 0x00, 0x00 };
	uint8_t keys[16], data[16] = { 0 }, mac[4];
	struct apdu a;

	memcpy(keys, x->info.pan + 2, 8);
	memcpy(keys + 8, x->info.issuer, 4);
	memset(keys + 12, 0xFF, 4);
	if (send(x->g->psam, &a, (uint8_t[]){ 0x80, 0x1A, 0x45, 0x02 }, keys, sizeof(keys)) != 0x9000)
		return;
	if (send(x->card, &a, (uint8_t[]){ 0x00, 0x84, 0x00, 0x00 }, NULL, 0) != 0x9000 || a.n != 4)
		return;
	memcpy(data, a.in, 4);
	memcpy(data + 8, command, sizeof(command));
	if (send(x->g->psam, &a, (uint8_t[]){ 0x80, 0xFA, 0x05, 0x00 }, data, sizeof(data)) != 0x9000 || a.n != 4)
		return;
	memcpy(mac, a.in, 4);
	if (send(x->card, &a, (uint8_t[]){ 0x84, 0x1E, 0x00, 0x00 }, mac, 4) != 0x9000)
		return;
	*ret_tap = record_start(x);
	ret_tap->kind = TAP_LOCK;
	ret_tap->txn_type = 0;
	*ret_count = 1;
}

enum gate_answer gate_tap(struct gate *g, struct reader *card, const struct gate_setting *s, int64_t now_ms,
			  struct tap ret_tap[2], unsigned *ret_count)
{
	struct session x = { .g = g, .card = card, .s = s, .now_ms = now_ms };
	enum gate_answer answer = card_read(&x);
	unsigned recovered = 0, bought = 0;
	struct torn *torn;

	*ret_count = 0;
	if (answer != GATE_GO)
		return answer;
	torn = torn_of(g, x.info.pan);
	if (torn != NULL)
		answer = recover(&x, torn, &ret_tap[0], &recovered);
	*ret_count = recovered;
	if (answer != GATE_GO || (recovered == 1 && now_ms - ret_tap[0].time_ms < TORN_SAME_RIDE_MS))
		return answer;			/* the boarding is paid, whatever the lists say by now */
	answer = card_allowed(&x);
	if (answer == GATE_GO)
		answer = purchase(&x, &ret_tap[recovered], &bought);
	else if (answer == GATE_BLACKLISTED)
		card_lock(&x, &ret_tap[recovered], &bought);
	*ret_count += bought;
	return answer;
}

const char *gate_answer_name(enum gate_answer a)
{
	switch (a) {
	case GATE_GO: return "go";
	case GATE_TAP_AGAIN: return "tap-again";
	case GATE_LOW_BALANCE: return "low-balance";
	case GATE_BLACKLISTED: return "blacklisted";
	case GATE_CARD_REFUSED: return "card-refused";
	case GATE_EXPIRED: return "expired";
	case GATE_NO_PRICE: return "no-price";
	case GATE_REPEAT: return "repeat-tap";
	case GATE_CARD_ERROR: return "card-error";
	case GATE_CODE_REFUSED: return "code-refused";
	case GATE_CODE_EXPIRED: return "code-expired";
	case GATE_CODE_USED: return "code-used";
	case GATE_CODE_LIMIT: return "code-limit";
	case GATE_FORGED: return "forged";
	case GATE_DENIED: return "denied";
	case GATE_FIRST_RIDES: return "first-rides";
	case GATE_PLATFORM_REFUSED: return "platform-refused";
	case GATE_NOT_REACHED: return "not-reached";
	}
	return "?";
}

const char *gate_answer_text(enum gate_answer a)
{
	switch (a) {
	case GATE_GO: return "请上车";
	case GATE_TAP_AGAIN: return "请重刷";
	case GATE_LOW_BALANCE: return "余额不足";
	case GATE_BLACKLISTED: return "黑名单卡, 已停用";
	case GATE_CARD_REFUSED: return "本机不受理此卡";
	case GATE_EXPIRED: return "卡已过期";
	case GATE_NO_PRICE: return "无票价, 请找司机";
	case GATE_REPEAT: return "优待不得连刷";
	case GATE_CARD_ERROR: return "卡片故障, 请重刷";
	case GATE_CODE_REFUSED: return "本机不受理此码";
	case GATE_CODE_EXPIRED: return "乘车码已过期, 请刷新";
	case GATE_CODE_USED: return "乘车码已使用, 请刷新";
	case GATE_CODE_LIMIT: return "超过乘车码限额";
	case GATE_FORGED: return "卡片认证未通过";
	case GATE_DENIED: return "此卡有欠费或已停用";
	case GATE_FIRST_RIDES: return "此卡待发卡行确认, 请用其他方式乘车";
	case GATE_PLATFORM_REFUSED: return "平台核验未通过, 请用其他方式乘车";
	case GATE_NOT_REACHED: return "暂时无法核验, 请用其他方式乘车";
	}
	return "?";
}

/*
 * city - one generated city: lines and vehicles, people and cards, a day of rides, and the faults
 * planted in it. Shared by the city_*.c files; sim_city in city.c runs them in order.
 *
 * Everything follows from the seed except certificates and SM2 signatures, which OpenSSL
 * randomises.
 *
 * A city may be of a hundred million taps and fifty million cards: in memory are 32 bytes a card, 12 a person and what
 * rating keeps of one that rode; rides wait on the disk in bins of five minutes, records in bins of devices.
 */
#ifndef TOOLS_SIM_CITY_H
#define TOOLS_SIM_CITY_H

#include <assert.h>
#include <stdio.h>

#include "clearing/clearing.h"
#include "validator/validator.h"

/* ---- random: splitmix64 and what is drawn from it (city_random.c) ------------------------------
 */

struct city_rng {
	uint64_t s;
};
uint64_t city_random(struct city_rng *r);
uint32_t city_below(struct city_rng *r, uint32_t n);		    /* 0 .. n-1 */
int32_t city_between(struct city_rng *r, int32_t from, int32_t to); /* both included */
bool city_chance(struct city_rng *r, uint32_t per_10000);
void city_random_bytes(struct city_rng *r, uint8_t *out, size_t n);

/* ---- faults and the plan (city_plan.c) ----------------------------------------------------------
 */

enum city_fault {
	FAULT_NONE = 0,
	FAULT_DUPLICATE,	/* a record sent again in another batch */
	FAULT_BATCH_AGAIN,	/* a whole batch sent again as it was: answered from memory */
	FAULT_BATCH_NEW_SERIAL, /* a batch's records sent again under another file serial */
	FAULT_GREY_LOST,
	FAULT_GREY_RECOVERED,
	FAULT_TAC_ZERO,
	FAULT_TAC_WRONG,
	FAULT_PAN_ALTERED,
	FAULT_QR_FORGED,
	FAULT_BLACKLISTED,
	FAULT_LATE_3,
	FAULT_LATE_15,
	FAULT_LATE_40,
	FAULT_FUTURE,
	FAULT_SERIAL_GAP,
	FAULT_TERMINAL_UNKNOWN,
	FAULT_TERMINAL_OTHER,
	FAULT_TEST_CARD,
	FAULT_CLONE,
	FAULT_CONFLICT,
	FAULT_MALFORMED,
	FAULT_ISSUER_UNKNOWN,
	FAULT_LINE_UNKNOWN,
	FAULT_AMOUNT,
	FAULT_REPEAT_TAP,
	FAULT_CHARGED_MORE,
	FAULT_CHARGED_LESS,
	FAULT_COUNT_
};
struct fault_info {
	const char *name, *zh;
	uint32_t per_200k;    /* how many in 200,000 taps; at least 2 */
	enum verdict verdict; /* the final verdict of the planted record */
};
extern const struct fault_info fault_list[FAULT_COUNT_];

/* What was sent and what must come of it; written as plan.json and planted.csv. */
struct city_plan {
	uint64_t sent, batches, resent_batches, resent_taps;
	uint64_t verdict[VERDICT_COUNT], fault[FAULT_COUNT_];
	uint64_t charged_fen; /* of accepted and pending taps */
	FILE *planted;	      /* CSV: fault, verdict, tap */
};
void city_plan_fault(struct city_plan *p, enum city_fault fault, const struct tap *tap);
/* Its line alone; key NULL: no tap. */
void city_plan_line(const struct city_plan *p, enum city_fault fault, const uint8_t *key);

/* ---- what waits on the disk (city_bins.c) --------------------------------------------------------
 */

struct bins;
int bins_open(const char *dir, uint32_t count, struct bins **ret_bins);
void bins_close(struct bins *b); /* NULL is fine */
void bins_put(struct bins *b, uint32_t i, const void *p, size_t n);
int bins_error(const struct bins *b); /* of a write, so far */
/* All that was put, in order, and the bin is empty; the caller frees. */
int bins_take(struct bins *b, uint32_t i, uint8_t **ret_p, size_t *ret_bytes);

/* ---- riders' states (city_states.c) -------------------------------------------------------------
 */

struct city_states;
struct city_states *city_states_new(void);
void city_states_free(struct city_states *s);
/* Keep these bytes; *place is 0 at first and moves when they outgrow it. */
void city_state_put(struct city_states *s, uint32_t *place, const uint8_t *bytes, size_t n);
void city_state_ahead(const struct city_states *s, uint32_t place); /* it is wanted soon */
const uint8_t *city_state_at(const struct city_states *s, uint32_t place, size_t *ret_bytes); /* until the next put */

/* ---- the city -----------------------------------------------------------------------------------
 */

struct city_line {
	char name[LINE_BYTES_MAX + 1];
	uint32_t operator_id;
	bool section; /* boards and alights */
	bool express; /* no concessions, so no lock */
	uint16_t stops;
	uint32_t first_device, device_count; /* devices i with i % lines == line index */
};
struct city_device {
	char name[DEVICE_BYTES_MAX + 1];
	uint8_t terminal[6], psam[6];
	char vehicle[16];
	uint32_t line, driver, serial, file_serial;
	uint32_t now, later;		/* records; later: sent at the end of the day */
	uint64_t *plain;		/* of those sent now: which have no fault */
	uint32_t plain_room;		/* in words */
	uint32_t again, again_last;	/* its records that come again: 1-based, 0 none */
};
struct city_person {		/* of tens of millions: 12 bytes */
	uint16_t age_days;	/* meant of the registered, as are the next ones */
	uint8_t issued;		/* day of 2025, from 0 on */
	uint8_t kind : 4;	/* of entitlement: city_people.c */
	bool registered : 1, unverified : 1;
	uint16_t home_line, other_line;
	uint32_t at; /* while rides are planned the last one's ms of the day; then the place of its state (city_states) */
};
static_assert(sizeof(struct city_person) == 12, "tens of millions");
enum card_medium { CARD_PURSE, CARD_SSC, CARD_QR, CARD_BANK, CARD_PAPER };
struct city_card { /* of tens of millions: 32 bytes; its number is made of its place, its key when it is needed */
	uint32_t person;
	int32_t balance_fen;
	uint16_t counter, prev_counter;
	uint32_t prev_amount_fen;
	int32_t prev_s; /* from the day's midnight, and prev_milli */
	uint16_t prev_milli;
	uint16_t digits : 10;	 /* of its number, at random */
	uint32_t prev_device : 17; /* meant when prev_type is not 0 */
	uint32_t medium : 3, alg_id : 1, key_version : 1, has_key : 1, ours : 1;
	uint32_t qr_user : 10, issuer : 4, card_class : 4, product : 4, prev_type : 8;
};
static_assert(sizeof(struct city_card) == 32, "tens of millions");
#define CITY_DEVICES_MAX 100000
#define QR_USERS_MAX	 512
static_assert(CITY_DEVICES_MAX <= 1 << 17 && QR_USERS_MAX < 1 << 10, "fields of a card");
struct city_ride {
	int64_t time_ms;
	uint32_t card, device;
	uint8_t kind, direction, fault;
	uint16_t stop, stop_on;
};
struct city_again { /* a record that comes once more, in the order drawn */
	uint32_t device, index, next; /* of its device's records sent now; next: as city_device.again */
	uint8_t key[TAP_KEY_BYTES];
};
struct city_qr;
struct city {
	const char *dir, *pack, *host;
	uint64_t seed;
	uint32_t lines_wanted, devices_wanted, taps_wanted;
	uint32_t cards_wanted, batch_taps; /* cards 0: two for five taps */
	bool purses; uint8_t purse_alg; /* nothing but purse cards, of this enum key_alg; else every medium */
	int32_t day;
	int64_t midnight_ms;
	struct city_rng rng;
	void *blob;
	size_t blob_bytes;
	struct tariff *tariff;
	struct keyring *ring;
	struct mac_engine *mac;
	struct city_qr *qr;
	struct city_line *line;
	uint32_t line_count;
	struct city_device *device;
	uint32_t device_count;
	struct city_person *person;
	uint32_t person_count, person_room;
	struct city_states *states;
	uint16_t group_code[8]; /* of each kind of person; 0: the pack has none */
	struct city_card *card;
	uint32_t card_count, card_room;
	struct bins *rides; /* struct city_ride, by their time */
	size_t ride_count;
	struct bins *records; /* by device: city_records.c */
	struct city_again *again;
	uint32_t again_count;
	uint32_t *black; /* cards of planted black-listed taps, in the order of their time */
	uint32_t black_count;
	struct city_plan plan;
};

/* How many of a fault are planted (city_plan.c). A city of purse cards has duplicates only. */
uint32_t fault_wanted(const struct city *c, enum city_fault fault);
/* Programmer's convenience of a generator: no memory ends the program. */
void *city_grow(void *p, size_t item_bytes, size_t count);
/* Open DIR/name for writing; complains and returns NULL. */
FILE *city_create(const struct city *c, const char *name);
bool city_close(const struct city *c, const char *name, FILE *f);
void city_path(const struct city *c, const char *name, char *ret_path, size_t n);
int city_mkdir(const char *path);

/* city_lines.c: lines of the pack, vehicles on them, terminals.csv */
int city_lines_read(struct city *c);
void city_devices_make(struct city *c);
int city_terminals_write(const struct city *c);
/* city_keys.c: keyring, passphrase, QR authority */
int city_keys_make(struct city *c);
void city_qr_free(struct city_qr *qr);
/* Code of this user for a moment; *ret_bytes and payload of QR_BYTES_MAX bytes. */
int city_qr_code(struct city *c, struct city_card *card, int64_t time_ms, uint8_t *payload,
		 size_t *ret_bytes);
/* city_certs.c: authority, server, partners, one per device */
int city_certs_make(const struct city *c);
/* city_people.c: people, cards, riders.csv, issuers.csv, blacklist.csv */
void city_people_make(struct city *c);
uint32_t city_card_new(struct city *c, uint32_t person, enum card_medium medium);
uint32_t city_card_spare(struct city *c); /* an ordinary card nobody else uses */
uint32_t city_card_foreign(struct city *c, bool known);
struct rider city_person_rider(const struct city *c, const struct city_person *p); /* in the form rating wants */
void city_people_ready(struct city *c); /* rides are planned: nobody has a state yet */
/* What is printed on a card. */
void city_card_number(const struct city *c, const struct city_card *card, uint8_t ret_pan[10]);
void city_card_face(const struct city *c, const struct city_card *card, struct tap *tap);
void city_person_elder(struct city *c, struct city_person *p); /* registered, 65 or more */
int city_people_write(const struct city *c);
/* city_rides.c: who rides when, as bins of times. city_faults.c adds the planted ones. */
int city_rides_plan(struct city *c);
void city_ride_add(struct city *c, const struct city_ride *ride);
#define CITY_RIDE_BINS 288 /* of five minutes */
/* The rides of a bin, by time; the caller frees. */
int city_rides_take(struct city *c, uint32_t bin, struct city_ride **ret_ride, size_t *ret_count);
void city_faults_plan(struct city *c);
/* city_taps.c: rides become tap records on devices */
int city_taps_make(struct city *c);
/* What the device says of the ride, and the card but for its life so far. */
void city_tap_device(const struct city *c, const struct city_ride *r, struct tap *tap);
void city_tap_card(const struct city *c, const struct city_card *card, const struct city_ride *r, struct tap *tap);
/* city_tac.c: a purse's code. due: the record has one, made with the card's key. */
bool city_tac_due(const struct city_card *card, const struct tap *tap);
int city_tac_make(const struct city *c, struct mac_engine *mac, const struct city_card *card, struct tap *tap);
enum city_when { SEND_NOW, SEND_LATER };
/* Put a record on its device's list, expecting this verdict. */
void city_emit(struct city *c, uint32_t device, const struct tap *tap, enum verdict verdict,
	       bool plain, enum city_when when);
void city_emit_bytes(struct city *c, uint32_t device, const uint8_t *p, size_t n,
		     enum verdict verdict, bool plain, enum city_when when);
/* A plain record of a purse: its code is made, and the record encoded, when it is written out. */
void city_emit_note(struct city *c, const struct city_ride *ride, const struct tap *tap, uint32_t prev_device,
		    enum verdict verdict);
void city_tac(struct city *c, const struct city_card *card, struct tap *tap);
/* What a fault changes before the fare is known: time, line, class. */
void city_fault_before(struct city *c, const struct city_ride *ride, struct tap *tap);
/* What it changes after; emits the record or records. tap carries its true TAC. */
void city_fault_emit(struct city *c, const struct city_ride *ride, struct tap *tap);
/* Records that arrive a second time. */
void city_faults_again(struct city *c);
/* city_records.c: the records of the devices of one bin, encoded */
struct city_tap {
	size_t at;
	uint32_t bytes;
	bool plain;
}; /* encoded, in the arena; plain: no fault */
struct city_taps {
	struct city_tap *tap;
	uint32_t count, room;
};
struct city_lot {
	uint32_t first, count;	     /* devices */
	struct city_taps *now, *later; /* of each */
	uint8_t *arena;
	size_t arena_used, arena_room;
};
uint32_t city_lots(const struct city *c);
int city_records_open(struct city *c);
/* Thread-safe for different lots, each thread with an engine of its own. */
int city_lot_make(struct city *c, struct mac_engine *mac, uint32_t lot, struct city_lot *ret_lot);
void city_lot_done(struct city_lot *lot);
/* city_writers.c: threads that make the lots ahead of the one that writes them in order */
struct city_writers;
int city_writers_start(struct city *c, struct city_writers **ret_writers);
/* The next lot; the caller ends it. */
int city_writers_next(struct city_writers *w, struct city_lot *ret_lot);
void city_writers_stop(struct city_writers *w); /* NULL is fine */
/* city_upload.c: batches */
int city_upload_write(struct city *c);
int city_plan_write(const struct city *c);
int city_config_write(const struct city *c);

#endif

/*
 * city - one generated city: lines and vehicles, people and cards, a day of rides, and the faults
 * planted in it. Shared by the city_*.c files; sim_city in city.c runs them in order.
 *
 * Everything follows from the seed except certificates and SM2 signatures, which OpenSSL
 * randomises.
 */
#ifndef TOOLS_SIM_CITY_H
#define TOOLS_SIM_CITY_H

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
	uint64_t verdict[VERDICT_COUNT], fault[FAULT_COUNT_], medium[16];
	uint64_t charged_fen; /* of accepted and pending taps */
	FILE *planted;	      /* CSV: fault, verdict, tap */
};
void city_plan_fault(struct city_plan *p, enum city_fault fault, const struct tap *tap);

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
struct city_tap {
	size_t at;
	uint32_t bytes;
	bool plain;
}; /* encoded, in the arena; plain: no fault */
struct city_taps {
	struct city_tap *tap;
	uint32_t count, room;
};
struct city_device {
	char name[DEVICE_BYTES_MAX + 1];
	uint8_t terminal[6], psam[6];
	char vehicle[16];
	uint32_t line, driver, serial, file_serial;
	struct city_taps now, later; /* later: sent at the end of the day */
};
struct city_person { /* of tens of millions */
	uint64_t id;
	const char *group; /* of its hold; NULL none */
	struct hold hold;
	int32_t birth, issued; /* days; DAY_NONE */
	uint32_t home_line, other_line;
	int64_t last_ms;
	uint8_t *state; /* rider_state_pack, near midnight_ms; NULL: no ride yet */
	uint16_t state_bytes, state_room;
	bool registered;
};
enum card_medium { CARD_PURSE, CARD_SSC, CARD_QR, CARD_BANK, CARD_PAPER };
struct city_card {
	uint8_t pan[10], issuer[4];
	uint16_t city;
	uint8_t card_class, medium, alg_id, key_version;
	uint8_t product;
	bool ours, has_key;
	uint16_t counter;
	int64_t balance_fen;
	uint32_t person;
	uint8_t tac_key[KEY_BYTES];
	struct {
		uint16_t counter;
		uint32_t amount_fen;
		uint8_t type, terminal[6];
		int64_t time_ms;
	} prev;
	uint32_t qr_user;
};
struct city_ride {
	int64_t time_ms;
	uint32_t card, device;
	uint8_t kind, direction, fault;
	uint16_t stop, stop_on;
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
	struct city_card *card;
	uint32_t card_count, card_room;
	struct city_ride *ride;
	size_t ride_count, ride_room;
	uint8_t *arena;
	size_t arena_used, arena_room;
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
struct rider city_person_rider(const struct city_person *p); /* in the form rating wants */
void city_person_elder(struct city *c, struct city_person *p); /* registered, 65 or more */
int city_people_write(const struct city *c);
/* city_rides.c: who rides when; sorted by time. city_faults.c adds the planted ones. */
void city_rides_plan(struct city *c);
void city_ride_add(struct city *c, const struct city_ride *ride);
void city_faults_plan(struct city *c);
/* city_taps.c: rides become tap records on devices */
int city_taps_make(struct city *c);
enum city_when { SEND_NOW, SEND_LATER };
/* Put a record on its device's list, expecting this verdict. */
void city_emit(struct city *c, uint32_t device, const struct tap *tap, enum verdict verdict,
	       bool plain, enum city_when when);
void city_emit_bytes(struct city *c, uint32_t device, const uint8_t *p, size_t n,
		     enum verdict verdict, bool plain, enum city_when when);
void city_tac(struct city *c, const struct city_card *card, struct tap *tap);
/* What a fault changes before the fare is known: time, line, class. */
void city_fault_before(struct city *c, const struct city_ride *ride, struct tap *tap);
/* What it changes after; emits the record or records. tap carries its true TAC. */
void city_fault_emit(struct city *c, const struct city_ride *ride, struct tap *tap);
/* Records that arrive a second time. */
void city_faults_again(struct city *c);
/* city_upload.c: batches */
int city_upload_write(struct city *c);
int city_plan_write(const struct city *c);
int city_config_write(const struct city *c);

#endif

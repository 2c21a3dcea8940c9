/*
 * brief - what the writer asks of a record, in less than two cache lines. The front that received a batch has decoded its records; the
 * writer, on another core, would have to fetch each and decode it again, or fetch all that was decoded, twice as much. What the writer
 * and the rater behind it never ask for is not in it. Private to clearing/.
 */
#ifndef CLEARING_BRIEF_H
#define CLEARING_BRIEF_H

#include "validator/validator.h"

/* NONE: the record cannot be read. WHOLE: what is asked of it is not all in the brief, as of a record with a code. */
enum brief_form { BRIEF_NONE, BRIEF_KEPT, BRIEF_WHOLE };
/* Fields of a record that are in its brief: numbers as short as the bounds by which a record can be read; what is not named here is zero. */
#define BRIEF_NUMBERS(X) \
	X(int64_t, time_ms) X(int64_t, start_ms) X(int64_t, end_ms) X(int32_t, balance_before) X(int32_t, balance_after) \
	X(uint32_t, terminal_serial) X(uint32_t, amount_fen) X(uint32_t, list_fen) X(uint32_t, operator_id) X(uint32_t, distance_m) \
	X(uint16_t, card_counter) X(uint16_t, card_subtype) X(uint16_t, stop) X(uint16_t, stop_on) X(uint16_t, flags) \
	X(uint8_t, kind) X(uint8_t, medium) X(uint8_t, card_class) X(uint8_t, direction) X(uint8_t, key_version) X(uint8_t, key_index) X(uint8_t, alg_id)
#define BRIEF_BYTES(X) X(10, pan) X(4, issuer) X(4, tac) X(6, terminal) X(6, psam)
#define BRIEF_NUMBER(type, name) type name;
#define BRIEF_BYTE(n, name) uint8_t name[n];
struct brief {
	uint64_t content;		/* hash of the record's bytes */
	BRIEF_NUMBERS(BRIEF_NUMBER)
	BRIEF_BYTES(BRIEF_BYTE)
	uint8_t form, text;		/* enum brief_form | which of the texts */
};

/* Texts are those of the vehicle: few in a batch. */
#define BRIEF_TEXTS_MAX 4
struct brief_text { char line[LINE_BYTES_MAX + 1], vehicle[16], series[16]; };
struct briefs { struct brief_text text[BRIEF_TEXTS_MAX]; uint32_t texts; struct brief brief[]; };

size_t briefs_bytes(uint32_t count);
/* ret has room for the batch's records. */
void briefs_make(const struct batch *b, const struct batch_taps *taps, struct briefs *ret);

/* Records of one batch after another as they are asked for. In tap is nothing but what briefs have; all zero to begin with. */
struct brief_reader { struct tap tap, whole; const struct brief_text *text; };
void brief_begin(struct brief_reader *r);	/* of another batch */
/* Record i of the batch, until the next. NULL: it cannot be read. */
const struct tap *brief_read(struct brief_reader *r, const struct briefs *b, const struct batch *batch, uint32_t i);

#endif

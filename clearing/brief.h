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
struct brief {
	int64_t time_ms, start_ms, end_ms;
	uint64_t content;		/* hash of the record's bytes */
	int32_t balance_before, balance_after;
	uint32_t terminal_serial, amount_fen, list_fen, operator_id, distance_m;
	uint16_t card_counter, card_subtype, stop, stop_on, flags;
	uint8_t pan[10], issuer[4], tac[4], terminal[6], psam[6];
	uint8_t kind, medium, card_class, direction, key_version, key_index, alg_id;
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

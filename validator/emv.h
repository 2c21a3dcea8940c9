/*
 * emv - what a card said in one reading: its data objects, which of them are among the authenticated records, and the
 * lists of objects (DOL) it asks the terminal for. Private to validator/.
 */
#ifndef VALIDATOR_EMV_H
#define VALIDATOR_EMV_H

#include "validator/validator.h"

#define EMV_OBJECTS_MAX 64
#define EMV_BYTES_MAX 4096
#define EMV_DOL_BYTES_MAX 252		/* a command carries 255: tag 83 and a length of two come before */

struct emv_object { uint32_t tag; uint16_t at, n; bool fixed; };	/* fixed: in a record that is authenticated */
struct emv {
	struct emv_object object[EMV_OBJECTS_MAX];
	size_t count, used;
	uint8_t bytes[EMV_BYTES_MAX];
	uint8_t fixed[ODA_STATIC_BYTES_MAX]; size_t fixed_bytes;	/* static data to be authenticated, in order of the AFL */
};
/* Objects of a template's content, those of templates inside it too. False: not sound, an object twice, or too much. */
bool emv_take(struct emv *e, const uint8_t *p, size_t n, bool fixed);
bool emv_put(struct emv *e, uint32_t tag, const uint8_t *p, size_t n, bool fixed);
bool emv_fix(struct emv *e, const uint8_t *p, size_t n);	/* more static data */
struct oda_bytes emv_get(const struct emv *e, uint32_t tag);	/* n 0: absent */
bool emv_is_fixed(const struct emv *e, uint32_t tag);
/* Values for a list of tags and lengths: the terminal's first, then the card's, else zeros (Book 3, 5.4). -1: malformed
 * or too long. */
int emv_dol(const struct emv *terminal, const struct emv *card, struct oda_bytes dol, uint8_t *out, size_t out_bytes);
bool emv_dol_asks(struct oda_bytes dol, uint32_t tag, size_t n);	/* the list asks for all of this object */

#endif

/* gate - what the card side (gate.c) and the code side (gate_code.c) of a gate share. Private to validator/. */
#ifndef VALIDATOR_GATE_H
#define VALIDATOR_GATE_H

#include "validator/validator.h"

/* What the bus knows of a ride: place, time in whole seconds, lists and tariff in force. */
void gate_record_place(const struct gate *g, const struct gate_setting *s, int64_t now_ms, struct tap *t);
/* Price by the same rate() as the clearing house; *ret_state is the rider's when the ride is made. */
enum gate_answer gate_price(struct gate *g, const struct gate_setting *s, struct tap *t, struct rider_state *ret_state);
/* Riders seen lately on this vehicle, for transfers and repeat taps. */
struct rider_state *gate_rider(struct gate *g, const uint8_t pan[10]);
/* Codes used, until they are no longer valid. NULL: used. Else the place to remember it in; *ret_room false: there is none. */
struct code_used { uint8_t key[QR_REPLAY_BYTES]; int64_t until_s; };
struct code_used *code_used_place(struct code_used used[CODES_USED_MAX], const uint8_t key[QR_REPLAY_BYTES], int64_t now_s, bool *ret_room);

#endif

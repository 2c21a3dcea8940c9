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

#endif

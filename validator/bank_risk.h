/* bank_risk - a card's place in the risk memory, for the gate. Private to validator/. */
#ifndef VALIDATOR_BANK_RISK_H
#define VALIDATOR_BANK_RISK_H

#include "validator/validator.h"

struct risk_card { uint8_t token[BANK_TOKEN_BYTES]; bool used, known; uint16_t atc; uint32_t fen; uint64_t turn; };
struct risk_card *risk_find(struct bank_risk *r, const uint8_t token[BANK_TOKEN_BYTES]);
struct risk_card *risk_place(struct bank_risk *r, const uint8_t token[BANK_TOKEN_BYTES]);	/* NULL: no room */

#endif

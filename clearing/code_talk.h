/* code_talk - one question to a code platform about some records, and what is taken of its answer. Private to clearing/. */
#ifndef CLEARING_CODE_TALK_H
#define CLEARING_CODE_TALK_H

#include "clearing/code_route.h"
#include "clearing/daemon.h"

struct question { struct code_waiting waiting; char id[CODE_ID_BYTES]; struct tap tap; uint8_t code[TAP_QR_BYTES_MAX]; };
struct talk {
	const struct code_route *route;
	struct question question[CODE_ANSWERS_MAX]; size_t count;
	struct code_answer answer[CODE_ANSWERS_MAX]; size_t answers;
};
/* tap->qr is copied; the id follows from its key. */
void question_of_tap(const struct tap *tap, struct question *ret);
/* All questions in one POST; answers that are good are added, one a question, the others told in the log. 0; -ECONNREFUSED and
 * the like: the platform is out. */
int talk_ask(struct talk *t, const struct partner_conf *p, long ms);
const struct code_answer *talk_answer(const struct talk *t, const uint8_t key[TAP_KEY_BYTES]);	/* NULL: none */

#endif

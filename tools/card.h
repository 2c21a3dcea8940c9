/* card - what card_verb.c and card_print.c share. Private to tools/. */
#ifndef TOOLS_CARD_H
#define TOOLS_CARD_H

#include <jansson.h>

#include "tools/tools.h"

#define CARD_FAULTS_MAX 128
/* What is being printed, and which parts could not be read. */
struct parsing { struct jsonw *j; const char *file[CARD_FAULTS_MAX], *reason[CARD_FAULTS_MAX]; size_t index[CARD_FAULTS_MAX]; size_t faults; };

void card_print_info(struct parsing *p, const json_t *root);	/* files 15 and 17 */
/* One part each; false: it was a fault and nothing was printed. */
bool card_print_fci(struct parsing *p, const json_t *v, size_t i);
bool card_print_16(struct parsing *p, const json_t *v, size_t i);
bool card_print_18(struct parsing *p, const json_t *v, size_t i);
bool card_print_19(struct parsing *p, const json_t *v, size_t i);
bool card_print_1a(struct parsing *p, const json_t *v, size_t i);
bool card_print_1e(struct parsing *p, const json_t *v, size_t i);
int card_show(int argc, char **argv);		/* card_show.c */
int card_stopped(int argc, char **argv);	/* card_stopped.c */
void card_print_ssse(struct parsing *p, const json_t *list);

#endif

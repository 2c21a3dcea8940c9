/* https - the little web server of the simulated partners: PUT /in/NAME, GET /out/, GET /out/NAME, POST /ask. */
#ifndef TOOLS_SIM_HTTPS_H
#define TOOLS_SIM_HTTPS_H

#include <stdbool.h>
#include <stddef.h>

/* What a partner does with a file it got: writes its answers with partner_answer. False: refused (HTTP 400). */
struct partner { const char *name, *dir, *fault; unsigned refuse_percent;
	bool (*take)(struct partner *p, const char *name, const char *text, size_t n);
	char *(*ask)(struct partner *p, const char *text, size_t n); };	/* what a question is answered, malloc'ed; NULL: HTTP 400 */
int partner_answer(struct partner *p, const char *name, const void *bytes, size_t n);
/* Options --city DIR | --cert --key, --listen HOST:PORT, --dir DIR, --fault NAME, --refuse-percent N; serves until
 * SIGTERM. Exit code. */
int partner_serve(struct partner *p, int argc, char **argv);

#endif

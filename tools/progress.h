/*
 * progress - how far a long piece of work is, for the person who waits. On a terminal one line is redrawn on standard
 * error, from one second after the start; elsewhere nothing but a log line every 30 seconds. SIGUSR1 asks for a line at
 * once. Standard output is never touched. Private to tools/.
 *
 *	struct progress p = { 0 };
 *	progress_stage(&p, 1, 2, "读入", "MB", 1000000, bytes);
 *	while (...) progress_at(&p, done);
 *	progress_stage(&p, 2, 2, "计价", "笔", 1, rides);
 *	...
 *	progress_end(&p);
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what, *unit;	/* the stage in words; what is counted */
	unsigned stage, stages;
	uint64_t whole, scale;		/* whole 0: not known. Shown in units of scale */
	uint64_t done;
	int64_t began_ms, stage_ms, told_ms;	/* the work, the stage, the last line; 0: not begun */
	bool terminal, drawn;
};
/* The next stage begins; the first call begins the work and takes SIGUSR1. */
void progress_stage(struct progress *p, unsigned stage, unsigned stages, const char *what, const char *unit, uint64_t scale, uint64_t whole);
void progress_at(struct progress *p, uint64_t done);	/* cheap enough for each few thousand things done */
void progress_end(struct progress *p);			/* leaves the last line standing; before an error is told, too */

#endif

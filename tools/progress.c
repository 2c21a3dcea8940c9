#include "tools/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS 1000		/* shorter work shows nothing */
#define REDRAW_MS 100
#define LOG_MS 30000
#define BAR 30

static volatile sig_atomic_t asked;

static void ask(int signal)
{
	(void)signal;
	asked = 1;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void begin(struct progress *p)
{
	struct sigaction on = { .sa_handler = ask, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &on, NULL);
	p->began_ms = p->told_ms = now_ms();
	p->terminal = isatty(STDERR_FILENO) == 1;
}

static void bar_print(const struct progress *p)
{
	unsigned filled = (unsigned)(p->done * BAR / p->whole);

	fputs(" [", stderr);
	for (unsigned i = 0; i < BAR; i++)
		fputc(i < filled ? '#' : '.', stderr);
	fprintf(stderr, "] %3" PRIu64 "%%", p->done * 100 / p->whole);
}

/* What is done, how fast, how long it still takes at that pace. */
static void line_print(const struct progress *p, int64_t now)
{
	uint64_t ms = now > p->stage_ms ? (uint64_t)(now - p->stage_ms) : 1;

	fprintf(stderr, "%s %u/%u", p->what, p->stage, p->stages);
	if (p->whole > 0 && p->terminal)
		bar_print(p);
	else if (p->whole > 0)
		fprintf(stderr, " %" PRIu64 "%%", p->done * 100 / p->whole);
	fprintf(stderr, " %" PRIu64, p->done / p->scale);
	if (p->whole > 0)
		fprintf(stderr, "/%" PRIu64, p->whole / p->scale);
	fprintf(stderr, " %s %" PRIu64 "/s", p->unit, p->done * 1000 / ms / p->scale);
	if (p->whole > 0 && p->done > 0)
		fprintf(stderr, " 剩余 %" PRIu64 " s", (p->whole - p->done) * ms / p->done / 1000);
}

static void tell(struct progress *p, int64_t now)
{
	p->told_ms = now;
	asked = 0;
	if (p->terminal)
		fputc('\r', stderr);
	line_print(p, now);
	fputs(p->terminal ? "\033[K" : "\n", stderr);	/* what a longer line before has left is erased */
	p->drawn = p->terminal;
	fflush(stderr);
}

void progress_stage(struct progress *p, unsigned stage, unsigned stages, const char *what, const char *unit, uint64_t scale, uint64_t whole)
{
	if (p->began_ms == 0)
		begin(p);
	else
		progress_end(p);
	p->stage = stage;
	p->stages = stages;
	p->what = what;
	p->unit = unit;
	p->scale = scale;
	p->whole = whole;
	p->done = 0;
	p->stage_ms = now_ms();
	if (p->terminal)
		p->told_ms = 0;		/* its first line is not delayed by the stage before */
}

void progress_at(struct progress *p, uint64_t done)
{
	int64_t now = now_ms();

	p->done = p->whole > 0 && done > p->whole ? p->whole : done;
	if (asked || (p->terminal ? now - p->began_ms >= QUIET_MS && now - p->told_ms >= REDRAW_MS : now - p->told_ms >= LOG_MS))
		tell(p, now);
}

void progress_end(struct progress *p)
{
	if (!p->drawn)
		return;
	tell(p, now_ms());
	fputc('\n', stderr);
	p->drawn = false;
}

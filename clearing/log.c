/* log - one line an event on stderr: time, event=word, then name=value. No card numbers, ever. */
#include "clearing/daemon.h"

#include <stdarg.h>
#include <time.h>

int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t thread_cpu_ns(pthread_t thread)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock) == 0)
		clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void log_event(const char *event, const char *format, ...)
{
	char time[32], line[1024];
	va_list ap;
	int n;

	time_format(clock_ms(), time);
	n = snprintf(line, sizeof(line), "%s event=%s ", time, event);
	va_start(ap, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap);
	va_end(ap);
	fprintf(stderr, "%s\n", line);
}

/* control_ingest - the metrics of a tap's way to its receipt: stages, threads, commits, queue, start. clearingd(8) explains them. */
#include "clearing/control.h"

#include "clearing/checkpoint.h"
#include "clearing/pages.h"

static const char *const stage_name[STAGE_COUNT] = { "decode", "check", "verify", "receipt", "wait", "append", "judge", "commit", "rate" };

static void stages_metric(const struct stages *front, const struct stages *writer, FILE *f)
{
	fprintf(f, "# TYPE qingfen_stage_ns_total counter\n");
	for (int i = 0; i < STAGE_COUNT; i++)
		fprintf(f, "qingfen_stage_ns_total{stage=\"%s\"} %llu\n", stage_name[i], (unsigned long long)(front->ns[i] + writer->ns[i]));
	fprintf(f, "# TYPE qingfen_stage_taps_total counter\nqingfen_stage_taps_total{thread=\"front\"} %llu\nqingfen_stage_taps_total{thread=\"writer\"} %llu\n",
		(unsigned long long)front->taps, (unsigned long long)writer->taps);
}

static void threads_metric(const struct daemon *d, const struct told *told, FILE *f)
{
	fprintf(f, "# TYPE qingfen_thread_cpu_ns_total counter\nqingfen_thread_cpu_ns_total{thread=\"writer\"} %llu\n"
		"qingfen_thread_cpu_ns_total{thread=\"append\"} %llu\nqingfen_thread_cpu_ns_total{thread=\"rater\"} %llu\n",
		(unsigned long long)thread_cpu_ns(d->writer), (unsigned long long)append_cpu_ns(d), (unsigned long long)told->rated.cpu_ns);
	for (int64_t i = 0; i < d->conf.threads; i++)
		fprintf(f, "qingfen_thread_cpu_ns_total{thread=\"front-%d\"} %llu\n", (int)i, (unsigned long long)front_cpu_ns(d, (size_t)i));
}

static void checkpoint_metrics(struct daemon *d, FILE *f)
{
	struct checkpoint_stat c;

	checkpoint_told(d, &c);
	metric(f, "qingfen_checkpoint_seq", "gauge", c.seq);
	metric(f, "qingfen_checkpoint_age_seconds", "gauge", c.taken_ms != 0 ? (uint64_t)(clock_ms() - c.taken_ms) / 1000 : 0);
	metric(f, "qingfen_checkpoint_bytes", "gauge", c.bytes);
	metric(f, "qingfen_checkpoint_ns", "gauge", c.ns);
	metric(f, "qingfen_checkpoint_writer_ns", "gauge", c.writer_ns);
	metric(f, "qingfen_checkpoint_step_ns_max", "gauge", c.step_ns);
	metric(f, "qingfen_checkpoint_total", "counter", c.count);
	metric(f, "qingfen_checkpoint_failures_total", "counter", c.failures);
}

void control_ingest_metrics(struct daemon *d, const struct told *told, FILE *f)
{
	struct front_counts front;

	fronts_counts(d, &front);
	stages_metric(&front.stages, &told->stages, f);
	threads_metric(d, told, f);
	metric(f, "qingfen_handshakes_total", "counter", front.handshakes);
	metric(f, "qingfen_busy_total", "counter", front.busy + told->stat.busy);
	metric(f, "qingfen_commit_batches_total", "counter", told->stat.commit_batches);
	metric(f, "qingfen_commit_batches_max", "gauge", told->stat.commit_batches_max);
	metric(f, "qingfen_commits_slow_total", "counter", told->stat.commits_slow);
	metric(f, "qingfen_commit_ns_max", "gauge", told->stat.commit_ns_max);
	metric(f, "qingfen_queue_bytes", "gauge", queue_bytes(&d->queue));
	metric(f, "qingfen_memory_ready_bytes", "gauge", chunks_ready_now() * CHUNK_BYTES);
	metric(f, "qingfen_replay_taps", "gauge", told->stat.replay_taps);
	metric(f, "qingfen_replay_ns", "gauge", told->stat.replay_ns);
	metric(f, "qingfen_replay_from", "gauge", told->stat.replay_from);
	checkpoint_metrics(d, f);
}

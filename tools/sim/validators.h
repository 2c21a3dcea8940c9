/*
 * validators - the devices of a generated city as clients: which batches each still owes (fleet),
 * and the TLS connection one of them holds while it sends (link). Shared by the validators_*.c
 * files.
 */
#ifndef TOOLS_SIM_VALIDATORS_H
#define TOOLS_SIM_VALIDATORS_H

#include <event2/event.h>
#include <openssl/ssl.h>

#include "clearing/clearing.h"
#include "validator/validator.h"

#include "city.h"
#include "histogram.h"
#include "upload.h"

/* The first receipt of a (device, file serial); every later one must say the same. */
struct fleet_receipt {
	bool got;
	uint32_t taps;
	uint8_t *verdict;
};
struct fleet_batch {
	const uint8_t *p;
	size_t n;
	uint32_t file_serial, receipt;
};
struct fleet_device {
	char name[DEVICE_BYTES_MAX + 1];
	uint8_t terminal[6];
	uint32_t first, count, at; /* batches [first, first + count); at: how many are through */
	bool over;		   /* nothing left, or given up: counted once */
};
struct fleet {
	struct upload *upload;
	struct fleet_batch *batch;
	uint32_t batch_count;
	struct fleet_receipt *receipt;
	uint32_t receipt_count;
	struct fleet_device *device;
	uint32_t device_count;
	uint32_t *order, order_at; /* devices in the order they connect */
	uint32_t over;
	/* totals */
	uint64_t sent, receipted, verdict[VERDICT_COUNT], refused_batches;
	uint64_t batches_through, repeated, mismatched, reconnects;
	struct histogram wait; /* batch to receipt, first answers only */
};
/* Read the upload file; at most devices_max devices (0: all). */
int fleet_open(const char *dir, uint32_t devices_max, struct fleet *ret_fleet);
void fleet_close(struct fleet *f);
/* Another order of devices, and of each device's batches. */
void fleet_shuffle(struct fleet *f, uint64_t seed);
/* The next device that wants a connection; NULL: none waits. */
struct fleet_device *fleet_take(struct fleet *f);
/* Book an answer to the device's current batch and go on to its next one. */
void fleet_receipted(struct fleet *f, struct fleet_device *d, const struct receipt *m,
		     uint32_t wait_us);
void fleet_refused(struct fleet *f, struct fleet_device *d);

/* ---- link ---------------------------------------------------------------------------------------
 */

struct link_host { /* what all links share */
	struct event_base *base;
	SSL_CTX *tls;
	const char *dir;
	struct sockaddr_storage *address;
	int address_bytes;
	struct fleet *fleet;
	void (*progress)(void *arg); /* after every answer */
	void *arg;
};
struct link;
/* A worker that takes devices from the fleet one after the other until none is left. */
int link_new(struct link_host *host, struct link **ret_link);
void link_free(struct link *l);

/* ---- load ---------------------------------------------------------------------------------------
 */

/* A measured run: a connection a device, all greet first and the clock starts when the last one has. Then each sends a
 * batch when the one before has its receipt, or, at a pace, each batch at its time: a device's batches lie evenly over
 * the run. At a pace the wait of a receipt counts from then on, whatever kept the batch from being sent; how much of that
 * was this program's own being late is told apart. */
struct load {
	const char *dir, *connect;
	uint32_t taps_per_s; /* 0: no pace */
	uint32_t limit_s;
	int32_t memory_mib; /* what the file may take in memory before it is read as it is sent; -1: half of what there is */
	void (*progress)(void *arg); /* the clock starts; after every answer */
	void *arg;
	/* what came of it */
	bool timed_out;
	uint32_t connections;
	int64_t handshakes_ms, took_ms, cpu_us; /* cpu: of this program while it sent */
	int64_t anon_kib; /* memory of its own at the end, the mapped file not counted */
	uint64_t held; /* batches whose time came while the device's batch before had no receipt */
	struct histogram late; /* from when a batch's time had come and its connection was free until it was sent, us */
};
/* 0 also when the limit was reached; -EINVAL (complained), -ENOMEM. */
int load_run(struct load *l, struct fleet *f);

#endif

/*
 * host_scenes - the disturbances, one function each: what the host does, and what docs/protocol.md then asks of the
 * terminal. A scenario begins and ends with whatever batch is open; what goes wrong in the keeping of batches is found by
 * the book, whichever scenario runs.
 */
#include "tools/sim/host.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define BUSY_MS 1200
#define QUIET_MS 1500			/* a refused batch does not come again so soon */
#define NOISE_MS 2000			/* so long a terminal may think about an answer that fits no question */
#define STAY_MS 10000			/* a terminal that has not hung up by then stays */
#define GAP_MS 400			/* connections that fail are at least so far apart */

static void pause_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- conversation ---------------------------------------------------------------------------------------------- */

/* True: it was a batch. */
static bool frame_take(struct host *h, const struct frame *f)
{
	uint8_t pong[FRAME_HEAD_BYTES + 1];

	switch (f->type) {
	case FRAME_PING:
		frame_head(FRAME_PONG, 1, pong);
		pong[FRAME_HEAD_BYTES] = 0x90;
		host_link_send(h, pong, sizeof(pong));
		return false;
	case FRAME_GET:
		host_list_get(h, f);
		return false;
	case FRAME_BATCH:
		if (h->pending)
			host_fault(h, HOST_TURN, "a batch came before the one before it was answered");
		else
			host_seen_good(h, HOST_TURN);
		host_book_batch(h, f->body, f->bytes);
		h->pending = true;
		return true;
	default:
		host_fault(h, HOST_TURN, "a frame of type %u, which a terminal does not send now", f->type);
		return false;
	}
}

bool host_batch_next(struct host *h, int64_t wait_ms)
{
	int64_t until = host_now_ms() + wait_ms;
	struct frame f;

	while (host_now_ms() < until) {
		if (h->ssl == NULL && host_link_open(h, until) == 0)
			return false;
		if (host_link_frame(h, &f, until) == CAME_FRAME && frame_take(h, &f))
			return true;
	}
	return false;
}

/* A batch whose receipt may have been lost comes once more, and is told so. */
bool host_batch_have(struct host *h)
{
	for (unsigned i = 0; i < 5; i++) {
		const struct host_seen *last;

		if (h->pending)
			return true;
		if (!host_batch_next(h, h->wait_ms))
			return false;
		last = h->book.count > 0 ? &h->book.seen[h->book.count - 1] : NULL;
		if (last == NULL || last->state != SEEN_MAYBE || last->serial != h->batch.file_serial)
			return true;
		host_receipt(h, true);
	}
	return false;
}

bool host_batch_again(struct host *h, enum host_rule rule, uint32_t serial, const char *after)
{
	if (!host_batch_next(h, h->wait_ms)) {
		host_fault(h, rule, "after %s the batch did not come again in %d s", after, (int)(h->wait_ms / 1000));
		return false;
	}
	if (h->batch.file_serial == serial)
		return true;
	host_fault(h, rule, "after %s file serial %u came, not %u again", after, h->batch.file_serial, serial);
	return false;
}

enum host_outcome host_dry(struct host *h, enum host_rule rule)
{
	if (h->ssl != NULL)
		return HOST_NOT_SEEN;		/* connected and quiet: no records left */
	return host_fault(h, rule, "the terminal did not come back in %d s", (int)(h->wait_ms / 1000));
}

static int receipt_make(struct host *h, uint32_t serial, uint32_t count, bool repeated)
{
	struct receipt r = { .file_serial = serial, .inbox_seq = h->book.count, .accepted = count, .count = count, .repeated = repeated };

	return receipt_encode(&r, h->out, sizeof(h->out));
}

static void receipt_written(struct host *h)
{
	host_book_receipt(h);
	h->pending = false;
}

void host_receipt(struct host *h, bool repeated)
{
	int n = receipt_make(h, h->batch.file_serial, h->batch.count, repeated);

	if (n > 0)
		host_link_send(h, h->out, (size_t)n);
	receipt_written(h);
}

static void refuse(struct host *h, bool retry)
{
	struct refuse m = { .file_serial = h->batch.file_serial, .code = retry ? -2001 : TAP_E_RANGE, .retry = retry };
	int n;

	strcpy(m.text, retry ? "conformance: not now" : "conformance: refused for good");
	n = refuse_encode(&m, h->out, sizeof(h->out));
	if (n > 0)
		host_link_send(h, h->out, (size_t)n);
	h->pending = false;
}

/* ---- good answers in odd forms --------------------------------------------------------------------------------- */

static enum host_outcome scene_first(struct host *h)
{
	if (!host_batch_have(h))
		return host_dry(h, HOST_FIRST);
	host_receipt(h, false);
	return host_batch_have(h) ? HOST_PASSED : host_dry(h, HOST_FIRST);
}

static enum host_outcome scene_split(struct host *h)
{
	uint32_t serial;
	int n;

	if (!host_batch_have(h))
		return host_dry(h, HOST_SPLIT);
	serial = h->batch.file_serial;
	n = receipt_make(h, serial, h->batch.count, false);
	for (int i = 0; i < n; i++) {
		host_link_send(h, h->out + i, 1);
		if (i < 8)
			pause_ms(10);
	}
	receipt_written(h);
	if (!host_batch_next(h, h->wait_ms))
		return host_dry(h, HOST_SPLIT);
	return h->batch.file_serial != serial ? HOST_PASSED : host_fault(h, HOST_SPLIT, "a receipt that came byte by byte was not taken");
}

static enum host_outcome scene_later(struct host *h)
{
	uint32_t serial;
	bool came;
	int n;

	if (!host_batch_have(h))
		return host_dry(h, HOST_LATER);
	serial = h->batch.file_serial;
	n = host_link_later(h, receipt_make(h, serial, h->batch.count, false));
	host_link_send(h, h->out, (size_t)n);
	receipt_written(h);
	if (!host_batch_next(h, h->wait_ms))
		return host_dry(h, HOST_LATER);
	if (h->batch.file_serial == serial)
		return host_fault(h, HOST_LATER, "a receipt with fields of a later version was not taken");
	h->later = true;
	host_link_close(h);
	came = host_batch_have(h);
	h->later = false;
	return came ? HOST_PASSED : host_fault(h, HOST_LATER, "after a welcome with fields of a later version no batch came");
}

/* ---- not now ------------------------------------------------------------------------------------------------------ */

static enum host_outcome scene_busy(struct host *h)
{
	struct busy m = { .retry_ms = BUSY_MS };
	uint32_t serial;
	int64_t asked;
	int n;

	if (!host_batch_have(h))
		return host_dry(h, HOST_BUSY);
	serial = h->batch.file_serial;
	n = busy_encode(&m, h->out, sizeof(h->out));
	host_link_send(h, h->out, n > 0 ? (size_t)n : 0);
	h->pending = false;
	asked = host_now_ms();
	if (!host_batch_again(h, HOST_BUSY, serial, "busy"))
		return HOST_FAILED;
	if (host_now_ms() - asked < BUSY_MS - 100)
		return host_fault(h, HOST_BUSY, "asked to wait %d ms, the terminal waited %d", BUSY_MS, (int)(host_now_ms() - asked));
	host_receipt(h, false);
	return HOST_PASSED;
}

static enum host_outcome scene_refuse_retry(struct host *h)
{
	uint32_t serial;
	int64_t asked;

	if (!host_batch_have(h))
		return host_dry(h, HOST_REFUSE_RETRY);
	serial = h->batch.file_serial;
	refuse(h, true);
	asked = host_now_ms();
	if (!host_batch_again(h, HOST_REFUSE_RETRY, serial, "a refusal with retry"))
		return HOST_FAILED;
	if (host_now_ms() - asked < GAP_MS)
		return host_fault(h, HOST_REFUSE_RETRY, "sent again %d ms after the refusal, without a pause", (int)(host_now_ms() - asked));
	host_receipt(h, false);
	return HOST_PASSED;
}

static enum host_outcome scene_refuse_kept(struct host *h)
{
	uint32_t serial;

	if (!host_batch_have(h))
		return host_dry(h, HOST_REFUSE_KEPT);
	serial = h->batch.file_serial;
	refuse(h, false);
	if (host_batch_next(h, QUIET_MS))
		return host_fault(h, HOST_REFUSE_KEPT, "after a refusal for good file serial %u came within %d ms: the pace is slow, and %u comes first",
				  h->batch.file_serial, QUIET_MS, serial);
	host_link_close(h);
	if (!host_batch_again(h, HOST_REFUSE_KEPT, serial, "a refusal for good and a new connection"))
		return HOST_FAILED;
	host_receipt(h, false);
	return HOST_PASSED;
}

/* ---- lost connections ------------------------------------------------------------------------------------------------ */

static enum host_outcome scene_cut(struct host *h)
{
	uint32_t serial;

	if (!host_batch_have(h))
		return host_dry(h, HOST_CUT);
	serial = h->batch.file_serial;
	host_link_close(h);
	if (!host_batch_again(h, HOST_CUT, serial, "a connection lost before the receipt"))
		return HOST_FAILED;
	host_receipt(h, true);
	return HOST_PASSED;
}

static enum host_outcome scene_cut_receipt(struct host *h)
{
	uint32_t serial;
	int n;

	if (!host_batch_have(h))
		return host_dry(h, HOST_CUT_RECEIPT);
	serial = h->batch.file_serial;
	n = receipt_make(h, serial, h->batch.count, false);
	host_link_send(h, h->out, (size_t)n - 1);
	pause_ms(200);
	host_link_close(h);
	if (!host_batch_again(h, HOST_CUT_RECEIPT, serial, "a receipt without its last byte"))
		return HOST_FAILED;
	host_receipt(h, true);
	return HOST_PASSED;
}

/* ---- answers that fit no question ---------------------------------------------------------------------------------------- */

/* An answer that must not be believed is out: the terminal hangs up or ignores it, and keeps the batch. */
static enum host_outcome disbelieved(struct host *h, enum host_rule rule, int n, const char *what)
{
	uint32_t serial = h->batch.file_serial;

	host_link_send(h, h->out, (size_t)n);
	h->pending = false;
	if (host_batch_next(h, NOISE_MS) && h->batch.file_serial != serial)
		return host_fault(h, rule, "after %s file serial %u came: %u was dropped", what, h->batch.file_serial, serial);
	host_link_close(h);
	if (!host_batch_again(h, rule, serial, what))
		return HOST_FAILED;
	host_receipt(h, false);
	return HOST_PASSED;
}

static enum host_outcome scene_other_receipt(struct host *h)
{
	if (!host_batch_have(h))
		return host_dry(h, HOST_OTHER_RECEIPT);
	return disbelieved(h, HOST_OTHER_RECEIPT, receipt_make(h, h->batch.file_serial + 1000, h->batch.count, false), "a receipt for another file serial");
}

static enum host_outcome scene_wrong_count(struct host *h)
{
	if (!host_batch_have(h))
		return host_dry(h, HOST_WRONG_COUNT);
	return disbelieved(h, HOST_WRONG_COUNT, receipt_make(h, h->batch.file_serial, h->batch.count + 1, false), "a receipt with a verdict too many");
}

static enum host_outcome scene_twice(struct host *h)
{
	uint32_t serial;
	int n;

	if (!host_batch_have(h))
		return host_dry(h, HOST_TWICE);
	serial = h->batch.file_serial;
	n = receipt_make(h, serial, h->batch.count, false);
	memcpy(h->out + n, h->out, (size_t)n);
	host_link_send(h, h->out, (size_t)n * 2);
	receipt_written(h);
	if (!host_batch_have(h))
		return host_dry(h, HOST_TWICE);
	serial = h->batch.file_serial;		/* the one the second receipt must not have taken away */
	if (host_batch_next(h, NOISE_MS) && h->batch.file_serial != serial)
		return host_fault(h, HOST_TWICE, "after a receipt that came twice file serial %u came: %u was dropped", h->batch.file_serial, serial);
	host_link_close(h);
	if (!host_batch_again(h, HOST_TWICE, serial, "a receipt that came twice"))
		return HOST_FAILED;
	host_receipt(h, false);
	return HOST_PASSED;
}

static enum host_outcome scene_garbage(struct host *h)
{
	static const uint8_t noise[] = { 0xFF, 0xFF, 0xFF, 0xFF, 0x04 };
	struct frame f;
	uint32_t serial;

	if (!host_batch_have(h))
		return host_dry(h, HOST_GARBAGE);
	serial = h->batch.file_serial;
	host_link_send(h, noise, sizeof(noise));
	if (host_link_frame(h, &f, host_now_ms() + STAY_MS) != CAME_END)
		return host_fault(h, HOST_GARBAGE, "the terminal stayed on a connection that brought an impossible frame");
	if (!host_batch_again(h, HOST_GARBAGE, serial, "an impossible frame"))
		return HOST_FAILED;
	host_receipt(h, false);
	return HOST_PASSED;
}

/* ---- who is there ------------------------------------------------------------------------------------------------------------ */

static enum host_outcome tempted(struct host *h, enum host_rule rule, SSL_CTX *other, const char *what)
{
	uint32_t serial;
	int spoke;

	if (!host_batch_have(h))
		return host_dry(h, rule);
	serial = h->batch.file_serial;
	spoke = host_link_tempt(h, other, host_now_ms() + h->wait_ms);
	if (spoke != 0)
		return spoke < 0 ? host_dry(h, rule) : host_fault(h, rule, "the terminal spoke to %s", what);
	if (!host_batch_again(h, rule, serial, what))
		return HOST_FAILED;
	host_receipt(h, false);
	return HOST_PASSED;
}

static enum host_outcome scene_impostor(struct host *h) { return tempted(h, HOST_IMPOSTOR, h->impostor, "a server of another authority"); }
static enum host_outcome scene_old_tls(struct host *h) { return tempted(h, HOST_OLD_TLS, h->old_tls, "a server with TLS 1.2"); }

static enum host_outcome scene_pace(struct host *h)
{
	int64_t at[3];
	uint32_t serial;

	if (!host_batch_have(h))
		return host_dry(h, HOST_PACE);
	serial = h->batch.file_serial;
	for (size_t i = 0; i < 3; i++) {
		at[i] = host_link_drop(h, host_now_ms() + h->wait_ms);
		if (at[i] == 0)
			return host_dry(h, HOST_PACE);
		if (i > 0 && at[i] - at[i - 1] < GAP_MS)
			return host_fault(h, HOST_PACE, "the next attempt came %d ms after a lost connection; a pause of a second, doubling, is asked",
					  (int)(at[i] - at[i - 1]));
	}
	if (at[2] - at[1] < (at[1] - at[0]) * 3 / 4)
		return host_fault(h, HOST_PACE, "the pauses shrink: %d ms, then %d ms", (int)(at[1] - at[0]), (int)(at[2] - at[1]));
	if (!host_batch_again(h, HOST_PACE, serial, "connections that failed"))
		return HOST_FAILED;
	host_receipt(h, false);
	return HOST_PASSED;
}

static enum host_outcome scene_restart(struct host *h)
{
	uint32_t serial;
	struct frame f;

	if (!host_batch_have(h))
		return host_dry(h, HOST_RESTART);
	serial = h->batch.file_serial;
	h->powered = true;
	if (h->child > 0) {
		host_child_kill(h);
		host_link_close(h);
		host_child_start(h);
	} else {
		fprintf(stderr, "sim host: 请给机具断电再上电 switch the terminal's power off and on now (%d s)\n", (int)(h->wait_ms / 1000));
		if (host_link_frame(h, &f, host_now_ms() + h->wait_ms) != CAME_END)
			return HOST_NOT_SEEN;
	}
	if (!host_batch_again(h, HOST_RESTART, serial, "a loss of power"))
		return HOST_FAILED;
	host_receipt(h, true);
	return HOST_PASSED;
}

const struct host_rule_info host_rules[HOST_RULE_COUNT] = {
	[HOST_HELLO] = { "hello", "每次连接先发 hello, 设备名与证书一致", "hello comes first, with the certificate's device", NULL, false },
	[HOST_BATCH] = { "batch", "批次可读, 笔数、摘要、流水、金额相符, 不超过上限", "batches are sound and no larger than welcome allows", NULL, false },
	[HOST_RECORD] = { "record", "每条记录可读, 终端号一致", "every record can be read and is this terminal's", NULL, false },
	[HOST_SAME] = { "same-serial", "同一文件序号永远是同样的字节", "a file serial names the same bytes for ever", NULL, false },
	[HOST_ORDER] = { "order", "无回执不丢弃, 文件序号逐一递增", "nothing is dropped without a receipt; file serials rise by one", NULL, false },
	[HOST_ONCE] = { "once", "有回执的不再上传", "what has its receipt does not come again", NULL, false },
	[HOST_TURN] = { "turn", "一次一批, 不发不该发的帧", "one batch at a time, no frame out of turn", NULL, false },
	[HOST_CLOCK] = { "clock", "记录按中心时钟计时", "records show the centre's clock after welcome", NULL, true },
	[HOST_FIRST] = { "receipt", "回执后发下一批", "after a receipt the next batch comes", scene_first, false },
	[HOST_TARIFF] = { "tariff", "下载票价; 损坏的不启用", "a tariff is downloaded; a damaged one is not put in force", host_scene_tariff, true },
	[HOST_LIST] = { "blacklist", "下载黑名单; 途中换版则重来", "a black list is downloaded, from the start when it is replaced meanwhile", host_scene_list, false },
	[HOST_SPLIT] = { "split-receipt", "回执逐字节到达", "a receipt may come byte by byte", scene_split, false },
	[HOST_LATER] = { "later-fields", "忽略新版本增加的字段", "fields of a later version are skipped", scene_later, false },
	[HOST_BUSY] = { "busy", "繁忙时按要求等待再发同一批", "busy: the same batch after the time asked", scene_busy, false },
	[HOST_REFUSE_RETRY] = { "refuse-retry", "可重试的拒绝: 稍后再发同一批", "refused with retry: the same batch after a pause", scene_refuse_retry, false },
	[HOST_REFUSE_KEPT] = { "refuse-kept", "不可重试的拒绝: 保留, 慢速重试", "refused for good: kept, and tried at a slow pace", scene_refuse_kept, false },
	[HOST_CUT] = { "cut-before-receipt", "回执前断线: 再发同一批", "connection lost before the receipt: the same batch", scene_cut, false },
	[HOST_CUT_RECEIPT] = { "cut-in-receipt", "回执少一个字节: 不算回执", "a receipt without its last byte is none", scene_cut_receipt, false },
	[HOST_OTHER_RECEIPT] = { "other-receipt", "别的批次的回执不算", "another batch's receipt is none", scene_other_receipt, false },
	[HOST_WRONG_COUNT] = { "wrong-count", "笔数不符的回执不算", "a receipt with another count is none", scene_wrong_count, false },
	[HOST_TWICE] = { "receipt-twice", "回执来两次只算一次", "a receipt that comes twice counts once", scene_twice, false },
	[HOST_GARBAGE] = { "garbage", "不合格式的帧: 断开重连", "an impossible frame ends the connection", scene_garbage, false },
	[HOST_IMPOSTOR] = { "impostor", "不与冒名服务器通信", "a server of another authority is not spoken to", scene_impostor, false },
	[HOST_OLD_TLS] = { "old-tls", "不接受 TLS 1.2", "TLS 1.2 is not spoken", scene_old_tls, false },
	[HOST_PACE] = { "pace", "断线后隔一段时间重连, 间隔不缩短", "lost connections are tried again after pauses that do not shrink", scene_pace, false },
	[HOST_RESTART] = { "power", "断电后再发同一批", "after a loss of power the same batch comes", scene_restart, false },
};

#include "clearing/pending.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/bufferevent_struct.h>	/* has a struct event of its own: why this is a file */
#include <event2/event.h>
#include <openssl/ssl.h>

void pending_look(struct bufferevent *bev)
{
	if (SSL_has_pending(bufferevent_openssl_get_ssl(bev)))
		event_active(&bev->ev_read, EV_READ, 0);
}

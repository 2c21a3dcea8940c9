/* pending - what TLS has read ahead, which the socket will not tell of again. Private to clearing/. */
#ifndef CLEARING_PENDING_H
#define CLEARING_PENDING_H

struct bufferevent;
/* Its buffer was full and has room again, or its handshake is over: it looks for what has come, at the end of this turn of the loop. */
void pending_look(struct bufferevent *bev);

#endif

/* ctl_client - one request to the daemon's control socket, one answer. */
#include "clearing/clearing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int send_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		at += sent;
		n -= (size_t)sent;
	}
	return 0;
}

int ctl_call(const char *socket_path, const char *request_line, const void *bulk, size_t bulk_bytes, char **ret_answer)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char *answer = NULL;
	size_t space = 0;
	FILE *in;
	int fd, ret;

	if (strlen(socket_path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		ret = errno == ENOENT ? -ECONNREFUSED : -errno;
		close(fd);
		return ret;
	}
	ret = send_all(fd, request_line, strlen(request_line));
	if (ret == 0)
		ret = send_all(fd, "\n", 1);
	if (ret == 0)
		ret = send_all(fd, bulk, bulk_bytes);
	in = fdopen(fd, "r");
	if (in == NULL) {
		close(fd);
		return -ENOMEM;
	}
	if (getline(&answer, &space, in) <= 0 && ret == 0)
		ret = -ECONNREFUSED;
	fclose(in);
	if (answer != NULL && answer[0] != '\0') {
		*ret_answer = answer;
		return 0;
	}
	free(answer);
	return ret != 0 ? ret : -ECONNREFUSED;
}

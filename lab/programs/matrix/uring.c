// SPDX-License-Identifier: Apache-2.0
// An HTTP server with one event loop on io_uring: uring PORT
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server.h"

struct connection {
	int fd;
	char request[8192];
};

static void accept_next(struct io_uring *ring, int listener)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(ring);

	io_uring_prep_accept(entry, listener, NULL, NULL, 0);
	io_uring_sqe_set_data(entry, NULL);
}

static void receive(struct io_uring *ring, struct connection *c)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(ring);

	io_uring_prep_recv(entry, c->fd, c->request, sizeof c->request - 1, 0);
	io_uring_sqe_set_data(entry, c);
}

static void complete(struct io_uring *ring, int listener, struct connection *c, int result)
{
	if (!c) {
		if (result >= 0 && (c = calloc(1, sizeof *c))) {
			c->fd = result;
			receive(ring, c);
		}
		accept_next(ring, listener);
	} else if (result <= 0) {
		close(c->fd);
		free(c);
	} else {
		c->request[result] = 0;
		answer(c->fd, c->request);
		receive(ring, c);
	}
}

int main(int argc, char **argv)
{
	struct io_uring ring;
	struct io_uring_cqe *done;
	int listener, failed;

	if (argc != 2) {
		fprintf(stderr, "usage: uring PORT\n");
		return 2;
	}
	listener = listen_on(atoi(argv[1]));
	failed = io_uring_queue_init(256, &ring, 0);
	if (failed) {
		fprintf(stderr, "setting up io_uring: %s\n", strerror(-failed));
		return 1;
	}
	accept_next(&ring, listener);
	for (;;) {
		io_uring_submit_and_wait(&ring, 1);
		while (!io_uring_peek_cqe(&ring, &done)) {
			struct connection *c = io_uring_cqe_get_data(done);
			int result = done->res;

			io_uring_cqe_seen(&ring, done);
			complete(&ring, listener, c, result);
		}
	}
}

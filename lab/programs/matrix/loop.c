// SPDX-License-Identifier: Apache-2.0
// An HTTP server with one event loop, on epoll, poll or select: loop PORT MODE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "server.h"

static void on_epoll(int listener)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[64];
	int epoll = epoll_create1(0);

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int n = epoll_wait(epoll, ready, 64, -1);
		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;
			if (fd != listener) {
				serve(fd);
				continue;
			}
			event.data.fd = admit(listener);
			if (event.data.fd >= 0)
				epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
		}
	}
}

static void on_poll(int listener)
{
	struct pollfd fds[MAX_CONNECTIONS] = {{.fd = listener, .events = POLLIN}};
	int n = 1;

	for (;;) {
		poll(fds, n, -1);
		for (int i = n - 1; i > 0; i--)
			if (fds[i].revents && serve(fds[i].fd) < 0)
				fds[i] = fds[--n];
		if (fds[0].revents && n < MAX_CONNECTIONS) {
			int fd = admit(listener);
			if (fd >= 0)
				fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
		}
	}
}

static void on_select(int listener)
{
	fd_set all, ready;

	FD_ZERO(&all);
	FD_SET(listener, &all);
	for (;;) {
		ready = all;
		select(FD_SETSIZE, &ready, NULL, NULL, NULL);
		for (int fd = 0; fd < FD_SETSIZE; fd++) {
			if (!FD_ISSET(fd, &ready))
				continue;
			if (fd != listener) {
				if (serve(fd) < 0)
					FD_CLR(fd, &all);
				continue;
			}
			int accepted = admit(listener);
			if (accepted >= 0 && accepted < FD_SETSIZE)
				FD_SET(accepted, &all);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: loop PORT epoll|poll|select\n");
		return 2;
	}
	int listener = listen_on(atoi(argv[1]));

	if (!strcmp(argv[2], "epoll"))
		on_epoll(listener);
	else if (!strcmp(argv[2], "poll"))
		on_poll(listener);
	else
		on_select(listener);
}

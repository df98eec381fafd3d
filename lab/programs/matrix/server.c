// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
		perror("listening");
		exit(1);
	}
	fcntl(listener, F_SETFL, O_NONBLOCK);
	return listener;
}

int admit(int listener)
{
	int fd = accept(listener, NULL, NULL), on = 1;

	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

int serve(int fd)
{
	char request[8192];
	ssize_t n = read(fd, request, sizeof request - 1);

	if (n <= 0) {
		close(fd);
		return -1;
	}
	request[n] = 0;
	answer(fd, request);
	return 0;
}

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static volatile unsigned sink;

static void burn(double ms)
{
	for (double end = cpu_ms() + ms; cpu_ms() < end;)
		for (int i = 0; i < 100000; i++)
			sink = sink * 31 + i;
}

static void block(double ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms * 1e6) % 1000000000};

	nanosleep(&t, NULL);
}

void answer(int fd, const char *request)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
	const char *ms = strstr(request, "ms=");

	if (!strncmp(request, "GET /burn", 9))
		burn(ms ? atof(ms + 3) : 0);
	else if (!strncmp(request, "GET /block", 10))
		block(ms ? atof(ms + 3) : 0);
	if (write(fd, ok, sizeof ok - 1) < 0)
		perror("answering");
}

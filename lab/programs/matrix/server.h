// SPDX-License-Identifier: Apache-2.0
// What the servers in C share: the listener, connections and the work of a request.
#define MAX_CONNECTIONS 1024

int listen_on(int port);       // exits on failure
int admit(int listener);       // accepts a connection; -1 if there is none
int serve(int fd);             // reads a request and answers it; -1 when the connection has ended
void answer(int fd, const char *request);

// SPDX-License-Identifier: Apache-2.0

package requests

//go:generate go tool bpf2go -cc clang-16 -strip llvm-strip-16 -target amd64,arm64 -type conn_flags -type conn -type client_flags -type client -type protocol -type read requests requests.bpf.c -- -I../headers -O2 -Wall -Werror -mcpu=v3

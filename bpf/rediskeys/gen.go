// SPDX-License-Identifier: Apache-2.0

package rediskeys

//go:generate go tool bpf2go -cc clang-16 -strip llvm-strip-16 -target amd64,arm64 -type access -type keys -type event rediskeys rediskeys.bpf.c -- -I../headers -O2 -Wall -Werror -mcpu=v3

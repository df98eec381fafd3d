// SPDX-License-Identifier: Apache-2.0

package self

//go:generate go tool bpf2go -cc clang-16 -strip llvm-strip-16 -target amd64,arm64 self self.bpf.c -- -I../headers -O2 -Wall -Werror -mcpu=v3

// SPDX-License-Identifier: Apache-2.0

package tick

//go:generate go tool bpf2go -cc clang-16 -strip llvm-strip-16 -target amd64,arm64 -type stall -type thread -type off_state -type wait_kind -type call_nr -type parts -type call -type target -type target_kind -type hist -type v8_layout -type py_layout -type stack_sample -type code_flags -type stack_kind -type stack_result -type collector tick tick.bpf.c -- -I../headers -O2 -Wall -Werror -mcpu=v3

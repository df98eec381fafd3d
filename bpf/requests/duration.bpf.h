/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Histogram of durations: base 2, four buckets per octave, bounds 2^(i/4)
 * seconds as in lib/hist.bpf.h, from 2^-16 s to 2^6 s, one bucket below and one
 * above. The count and the sum of a bucket share a cache line.
 */
#ifndef HEADROOM_DURATION_H
#define HEADROOM_DURATION_H

#include "../lib/hist.bpf.h"

#define DURATION_OCTAVES 22
#define DURATION_BUCKETS (DURATION_OCTAVES * 4 + 2)
/* The first bound, 2^-16 s, in ns, rounded up. */
#define DURATION_FIRST 15259

struct duration {
	u64 count;
	u64 sum;
};

static __always_inline u32 duration_bucket(u64 ns)
{
	u64 v = ns + (ns * 77324 >> 20); /* in units of 2^-30 s, as in hist_bucket */
	u32 log = 0, octave, mantissa;

	if (ns < DURATION_FIRST)
		return 0;
	if (ns >= 64000000000ULL || v >= 1ULL << 36)
		return DURATION_BUCKETS - 1;
	octave = v >> 14;
	if (octave >= 1 << 16) {
		octave >>= 16;
		log = 16;
	}
	log += log2_u16(octave);
	mantissa = (v << 2 >> log) & 0xffff;
	return 1 + log * 4 + (mantissa >= 12400) + (mantissa >= 27146) + (mantissa >= 44683);
}

#endif

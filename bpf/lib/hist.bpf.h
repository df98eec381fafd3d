/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Histogram of delays: base 2, four buckets per octave, bounds 2^(i/4) seconds
 * (scale 2 of OpenTelemetry's exponential histogram, schema 2 of Prometheus),
 * from 2^-10 s to 2^6 s, one bucket below and one above.
 */
#ifndef HEADROOM_HIST_H
#define HEADROOM_HIST_H

#include "../headers/kernel.h"

#define HIST_OCTAVES 16
#define HIST_BUCKETS (HIST_OCTAVES * 4 + 2)
/* The first bound, 2^-10 s, in ns, rounded up. */
#define HIST_FIRST 976563

struct hist {
	u64 count[HIST_BUCKETS];
	u64 sum[HIST_BUCKETS];
};

/* log2 of a value below 2^16. */
static __always_inline u32 log2_u16(u32 v)
{
	u32 log = 0;

	if (v >= 1 << 8) {
		v >>= 8;
		log = 8;
	}
	if (v >= 1 << 4) {
		v >>= 4;
		log += 4;
	}
	if (v >= 1 << 2) {
		v >>= 2;
		log += 2;
	}
	return log + (v >> 1);
}

static __always_inline u32 hist_bucket(u64 ns)
{
	/* In units of 2^-30 s: ns * 2^30 / 10^9, where 77324 / 2^20 = 2^30 / 10^9 - 1. */
	u64 v = ns + (ns * 77324 >> 20);
	u32 log, mantissa;

	if (ns < HIST_FIRST)
		return 0;
	if (ns >= 64000000000ULL || v >= 1ULL << 36)
		return HIST_BUCKETS - 1;
	log = log2_u16(v >> 20);
	mantissa = (v >> (log + 4)) & 0xffff;
	/* 2^(1/4), 2^(2/4), 2^(3/4), less 1, in units of 2^-16. */
	return 1 + log * 4 + (mantissa >= 12400) + (mantissa >= 27146) + (mantissa >= 44683);
}

#endif

// SPDX-License-Identifier: Apache-2.0

package capacity

import "math"

// maxServers bounds the search of Servers: beyond it the question is wrong.
const maxServers = 100_000

// Servers is the least number of servers with which a share p of arrivals
// waits for no longer than target seconds, or 0 when there is none.
//
// rate is arrivals per second, service the mean seconds of one, k the burst
// factor (max(ca², IDC) + cs²) / 2: 1 for a memoryless stream. It is the
// Allen–Cunneen approximation of G/G/c on Erlang's C (science.md §2.3: 3.4 %
// mean error over 96 simulated configurations).
func Servers(rate, service, k, target, p float64) int {
	if rate <= 0 || service <= 0 {
		return 0
	}
	load := rate * service
	for c := int(load) + 1; c <= maxServers; c++ {
		late := ErlangC(load, c) * math.Exp(-(float64(c)-load)*target/(service*k))
		if late <= 1-p {
			return c
		}
	}
	return 0
}

// ErlangC is the probability that an arrival waits, with load erlangs on c
// servers.
func ErlangC(load float64, c int) float64 {
	if load >= float64(c) {
		return 1
	}
	b := 1.0
	for j := 1; j <= c; j++ {
		b = load * b / (float64(j) + load*b)
	}
	return b / (1 - load/float64(c)*(1-b))
}

// MeanWait is the mean wait of M/G/1 (Pollaczek and Khinchine) at utilisation
// rho, with service time service and its squared coefficient of variation.
func MeanWait(rho, service, scv float64) float64 {
	if rho >= 1 {
		return math.Inf(1)
	}
	return rho / (1 - rho) * service * (1 + scv) / 2
}

// UtilisationFor is the utilisation at which M/G/1 has a mean wait of target.
func UtilisationFor(target, service, scv float64) float64 {
	return 2 * target / (2*target + service*(1+scv))
}

// Spread is over how many units work must be spread so that each is busy for
// no more than the share busy: ⌈work/busy⌉, at least one.
func Spread(work, busy float64) int {
	return max(1, int(math.Ceil(work/busy-rounding)))
}

// rounding forgives what binary fractions do to 0.65·n.
const rounding = 1e-9

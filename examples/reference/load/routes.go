// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// A request is the request of one visitor.
type request struct{ route, method, path, body, session string }

// A route is requested in proportion to its weight.
type route struct {
	name, method string
	weight       int
	path         func(*rand.Rand) string
	body         func(*rand.Rand) string
}

const (
	products  = 2000
	customers = 500
	photos    = 128
	pages     = products / 20
)

var routes = []route{
	{"GET /products/:id", "GET", 30, func(r *rand.Rand) string { return fmt.Sprintf("/products/%d", popular(r, products)) }, none},
	{"GET /products", "GET", 20, func(r *rand.Rand) string { return fmt.Sprintf("/products?page=%d", popular(r, pages)-1) }, none},
	{"GET /search", "GET", 8, func(r *rand.Rand) string { return "/search?q=" + words(r) }, none},
	{"GET /popular", "GET", 8, always("/popular"), none},
	{"GET /quotes/:currency", "GET", 8, func(r *rand.Rand) string { return "/quotes/" + currencies[r.IntN(len(currencies))] }, none},
	{"GET /customers/:id/orders", "GET", 6, func(r *rand.Rand) string { return fmt.Sprintf("/customers/%d/orders", 1+r.IntN(customers)) }, none},
	{"POST /orders", "POST", 8, always("/orders"), order},
	{"POST /login", "POST", 4, always("/login"), login},
	{"GET /orders/:id/label", "GET", 4, func(r *rand.Rand) string { return fmt.Sprintf("/orders/%d/label", 1+r.IntN(10_000)) }, none},
	{"GET /media/:id", "GET", 4, func(r *rand.Rand) string { return fmt.Sprintf("/media/%d", r.IntN(photos)) }, none},
	{"GET /catalog", "GET", 3, func(r *rand.Rand) string { return fmt.Sprintf("/catalog?from=%d", r.IntN(1000)) }, none},
	{"GET /terms", "GET", 3, always("/terms"), none},
}

var currencies = []string{"EUR", "GBP", "JPY", "CHF", "SEK"}

func none(*rand.Rand) string                     { return "" }
func always(path string) func(*rand.Rand) string { return func(*rand.Rand) string { return path } }

// popular returns a number from 1 to n. Small numbers are more frequent, similar to the
// distribution of sales.
func popular(r *rand.Rand, n int) int { return int(math.Pow(float64(n), r.Float64())) }

// words returns a search query. Some queries are a long line with a full stop, as if
// pasted.
func words(r *rand.Rand) string {
	if r.IntN(2) == 0 {
		return strings.Repeat("product", 10) + "."
	}
	return fmt.Sprintf("product+%d", 1+r.IntN(products))
}

func order(r *rand.Rand) string {
	first := 1 + r.IntN(products-1)
	return fmt.Sprintf(`{"customer":%d,"lines":[{"product":%d,"quantity":1},{"product":%d,"quantity":2}]}`, 1+r.IntN(customers), first, first+1)
}

func login(r *rand.Rand) string {
	return fmt.Sprintf(`{"email":"customer%d@example.com","password":"secret"}`, 1+r.IntN(customers))
}

// pick draws the next request. It always draws the same number of random values, so
// that a run depends only on its seed.
func pick(r *rand.Rand) request {
	total := 0
	for _, route := range routes {
		total += route.weight
	}
	at := r.IntN(total)
	for _, route := range routes {
		if at -= route.weight; at < 0 {
			return request{route.name, route.method, route.path(r), route.body(r), fmt.Sprintf("%016x", r.Uint64())}
		}
	}
	panic("unreachable: the weights were just added up")
}

// SPDX-License-Identifier: Apache-2.0

// Command programs is the lab's Go server: an M:N scheduler under load, which is not
// an event loop. Each request sorts for about a millisecond.
package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
)

// prices is how many numbers a request sorts: about a millisecond of CPU.
const prices = 10_000

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %s\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(sortPrices)))
}

func sortPrices(w http.ResponseWriter, _ *http.Request) {
	list := rand.Perm(prices)
	slices.Sort(list)
	fmt.Fprintln(w, list[0])
}

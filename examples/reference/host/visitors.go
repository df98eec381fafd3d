// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/headroom-project/headroom/examples/reference/load"
)

// runLoad sends requests and prints a summary. In the meantime it serves the results
// so far at /metrics.
func runLoad(ctx context.Context, flags *flag.FlagSet, args []string) error {
	var o load.Options
	flags.StringVar(&o.URL, "url", "http://"+addr(portShop), "address of the shop")
	listen := flags.String("listen", addr(portLoad), "address of the load generator's /metrics")
	flags.Float64Var(&o.Rate, "rate", 40, "requests per second, on average")
	flags.DurationVar(&o.Duration, "duration", time.Minute, "duration of the load")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of the random requests: the same seed sends the same requests")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.Rate <= 0 {
		return errors.New("-rate must be above 0")
	}
	var seen load.Record
	server := &http.Server{Addr: *listen, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		load.WriteMetrics(w, seen.Summaries())
	})}
	defer server.Close() //nolint:errcheck // ends with the command
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "shop: cannot serve /metrics of the load generator:", err)
		}
	}()
	load.Run(ctx, o, &seen)
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(seen.Summaries())
	}
	return load.WriteTable(os.Stdout, seen.Summaries())
}

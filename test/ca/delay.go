package main

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	// delayPath answers late by a random time, at most ?max=, and says by how
	// much.
	delayPath = "/delay"
	// delayHeader carries the delay in nanoseconds, as it was in fact.
	delayHeader = "Injected-Delay"
)

// withDelay serves delayPath before next.
func withDelay(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("GET "+delayPath, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		most, err := time.ParseDuration(r.FormValue("max"))
		if err != nil || most < time.Millisecond {
			http.Error(w, "want max, at least 1ms", http.StatusBadRequest)
			return
		}
		timer := time.NewTimer(most/10 + rand.N(most-most/10))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(delayHeader, strconv.FormatInt(time.Since(start).Nanoseconds(), 10))
		_, _ = w.Write([]byte("{}\n"))
	})
	return mux
}
